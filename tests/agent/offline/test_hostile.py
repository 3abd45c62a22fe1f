"""Whatever the text: a valid plan or a PlannerError that says what is wrong, and soon."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.offline import OfflinePlanner
from agent.planner import PlannerError
from diffusion.layout import layout_from_dict

SCENES = (
    "two red balls left of a blue cube on green grass",
    "a photo of a dog right of a teddy bear, without birds",
    "There are three cars. One cup is on the table. To its left there is a lamp.",
    "five black cats behind a white fence, a bird above it",
    "A watercolor painting of a vase with a rose between two candles",
)
PIECES = (
    "999999999", "0", "-3", "1.5", "IV", "½", "²", "Ⅲ", "٣", "no", "not", "without", "and", "of", "the", "a",
    "between", "it", "them", "one", "row of", "pair of", "dozen", "hundred", "million", "left of", "left",
    "on", "with", "each other", "that", "is", "there is", ",", ".", "(", "((", ")", '"', "'", "-", "&", "/",
    "🐱", "猫", "e\u0301", "\u200d", "\u202e", "\ud800", "\x00", "\n", "top", "in the corner", "side by side",
    "from left to right", "in the style of", "İ", "ﬁ", "riding", "sits",
)  # fmt: skip


def check(prompt: str, seed: int = 0) -> None:
    try:
        plan = OfflinePlanner().plan(prompt, width=512, height=384, seed=seed)
    except PlannerError as error:
        assert 10 < len(str(error)) < 600
        str(error).encode()
        return
    assert layout_from_dict(plan.layout.to_dict()) == plan.layout
    assert len(plan.layout.instances) <= 30


@pytest.mark.parametrize("start", range(4))
def test_mutated_scenes(start: int) -> None:
    rng = random.Random(start)
    for seed in range(150):
        words = rng.choice(SCENES).split()
        match rng.randrange(4):
            case 0:
                rng.shuffle(words)
            case 1:
                words = [rng.choice(PIECES) for _ in range(rng.randrange(1, 40))]
            case 2:
                at = rng.randrange(len(words))
                words[at : at + 1] = [rng.choice(PIECES) for _ in range(rng.randrange(5))]
            case _:
                words = [rng.choice((*words, *PIECES)) for _ in range(rng.randrange(1, 60))]
        check(rng.choice((" ", " ", "")).join(words), seed)


@given(st.text(max_size=300))
@settings(max_examples=150, deadline=None)
def test_any_text(prompt: str) -> None:
    check(prompt)


@pytest.mark.parametrize(
    "piece", ["left ", "row of ", "cat of ", "not ", "red ", "two ", "a ", "(", "sitting ", "🐱", "x"]
)
def test_long_repetitions_end_soon(piece: str) -> None:
    started = time.process_time()
    check(piece * (4000 // len(piece)))
    check(piece * (100_000 // len(piece)))
    assert time.process_time() - started < 3.0
