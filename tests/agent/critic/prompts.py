"""Prompts of many kinds, put together from lists by a random number generator, for plans that the critic reads."""

from __future__ import annotations

import random

_NOUNS = (
    "dog cat horse cow sheep elephant giraffe zebra lion rabbit fox penguin car truck bus tractor bicycle motorcycle "
    "tree house barn castle bench chair table couch bed lamp vase bottle cup book clock guitar piano ball kite balloon "
    "umbrella suitcase backpack robot man woman boy girl snowman cactus sunflower mushroom pumpkin apple banana cake "
    "pizza boat duck swan bird owl butterfly airplane helicopter"
)
NOUNS = _NOUNS.split()
PLURALS = {"sheep": "sheep", "man": "men", "woman": "women", "bus": "buses", "bench": "benches", "fox": "foxes"}
PLURALS |= {"couch": "couches", "cactus": "cacti", "butterfly": "butterflies"}
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey")
PLACES = ("", " on green grass", " in the snow", " on a sandy beach", " in a forest", " on a city street", " in a room")
STYLES = ("", "a photo of ", "an oil painting of ", "a watercolor of ")
RELATIONS = (
    "left of", "to the right of", "next to", "above", "below", "in front of", "behind", "on top of", "under", "near",
)  # fmt: skip
REGIONS = ("on the left", "on the right", "in the middle", "at the top", "at the bottom")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight")


def many(noun: str, count: int) -> str:
    return noun if count == 1 else PLURALS.get(noun, noun + "s")


def a(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def thing(rng: random.Random, noun: str, count: int = 1) -> str:
    colour = rng.choice(COLOURS) + " " if rng.random() < 0.6 else ""
    return a(colour + noun) if count == 1 else f"{NUMBERS[count]} {colour}{many(noun, count)}"


def prompts(seed: int, count: int) -> list[str]:
    """``count`` prompts; another seed gives others."""
    rng = random.Random(seed)
    return [rng.choice((_listed, _related, _chained, _placed, _counted, _excluding))(rng) for _ in range(count)]


def _listed(rng: random.Random) -> str:
    things = [thing(rng, noun, rng.choice((1, 1, 2))) for noun in rng.sample(NOUNS, rng.randint(1, 4))]
    listed = f"{', '.join(things[:-1])}{' and ' if len(things) > 1 else ''}{things[-1]}"
    return f"{rng.choice(STYLES)}{listed}{rng.choice(PLACES)}"


def _related(rng: random.Random) -> str:
    one, two = rng.sample(NOUNS, 2)
    return f"{rng.choice(STYLES)}{thing(rng, one)} {rng.choice(RELATIONS)} {thing(rng, two)}{rng.choice(PLACES)}"


def _chained(rng: random.Random) -> str:
    one, two, three = rng.sample(NOUNS, 3)
    first, second = rng.sample(RELATIONS[:4], 2)
    return f"{thing(rng, one)} {first} {thing(rng, two)}. {thing(rng, three).capitalize()} is {second} the {two}."


def _placed(rng: random.Random) -> str:
    one, two = rng.sample(NOUNS, 2)
    here, there = rng.choice((REGIONS[:2], REGIONS[3:]))
    return f"{thing(rng, one)} {here} and {thing(rng, two)} {there}{rng.choice(PLACES)}"


def _counted(rng: random.Random) -> str:
    one, two = rng.sample(NOUNS, 2)
    return f"{thing(rng, one, rng.randint(2, 8))} and {thing(rng, two, rng.randint(1, 3))}{rng.choice(PLACES)}"


def _excluding(rng: random.Random) -> str:
    one, two, three = rng.sample(NOUNS, 3)
    without = f"without {rng.choice(('any ', ''))}{many(three, 2)}"
    return f"{thing(rng, one)} and {thing(rng, two)} {without}{rng.choice(PLACES)}"
