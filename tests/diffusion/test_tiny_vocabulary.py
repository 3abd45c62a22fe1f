"""How the tiny world reads captions."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion.tiny.vocabulary import (
    BACKGROUNDS,
    COLOURS,
    KINDS,
    TEXTURES,
    Attributes,
    background_of,
    canonical_colour,
    canonical_kind,
    canonical_texture,
    describe,
    plural,
)

nouns = st.sampled_from([(noun, name) for name, kind in KINDS.items() for noun in (name, *kind.synonyms)])
textures = st.sampled_from([(word, name) for name, words in TEXTURES.items() for word in (name, *words)])


@given(nouns, st.sampled_from(list(COLOURS)), textures, st.booleans())
def test_every_noun_colour_and_texture_is_read_back(noun, colour, texture, texture_first):
    looks = [texture[0], colour] if texture_first else [colour, texture[0]]
    assert describe(f"A large {' '.join(looks)} {noun[0]}.") == Attributes(noun[1], colour, texture[1], ())


@given(nouns)
def test_plurals_name_the_same_kind(noun):
    assert canonical_kind(plural(noun[0])) == canonical_kind(noun[0].upper()) == noun[1]


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("red ball with stripes", Attributes("ball", "red", "striped", ())),
        ("a cube of blue colour", Attributes("cube", "blue", None, ())),
        ("a shiny red car", Attributes("car", "red", None, ("shiny",))),
        ("a red and white ball", Attributes("ball", "red", None, ("white",))),
        ("a white house with a red roof", Attributes("house", "white", None, (), "red")),
        ("an apple tree", Attributes("tree", None, None, ("apple",))),
        ("a cat with a ball", Attributes("cat", None, None, ("ball",))),
        ("a crescent moon", Attributes("moon", None, None, ())),
        ("a green dragon", Attributes(None, "green", None, ("dragon",))),
        ("polka-dot yellow mug", Attributes("cup", "yellow", "dotted", ())),
        ("", Attributes(None, None, None, ())),
    ],
)
def test_captions(caption, expected):
    assert describe(caption) == expected


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("two red balls left of a blue cube on green grass", "grass"),
        ("a cat on a wooden table", "table"),
        ("a boat under a starry sky", "night"),
        ("plain grey background", "grey"),
        ("a grey elephant", None),
        ("grasshoppers", None),
        ("", None),
    ],
)
def test_backgrounds(text, name):
    assert background_of(text) == name


def test_every_background_is_named_by_each_of_its_phrases():
    for name, phrases in BACKGROUNDS.items():
        for phrase in (name, *phrases):
            assert background_of(phrase) == name, phrase


def test_words_of_other_worlds_name_nothing():
    assert canonical_kind("dragon") is canonical_colour("beige") is canonical_texture("furry") is None


def test_the_vocabulary_needs_no_numerical_libraries():
    code = "import sys, diffusion.tiny.vocabulary; print([m for m in ('numpy', 'PIL', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
