"""The assignment against brute force, and which names are the same kind of thing."""

import subprocess
import sys
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from diffusion.tiny.vocabulary import KINDS
from eval.matching import assign, compatible, kind_of, same_noun

TINY = frozenset(KINDS)
shapes = st.tuples(st.integers(0, 5), st.integers(0, 5))
weights = shapes.flatmap(
    lambda shape: arrays.arrays(np.float64, shape, elements=st.sampled_from([0.0, 0.0, 0.1, 0.3, 0.5, 0.52, 0.9, 1.0]))
)


def best_total(matrix):
    """The largest total over every way to pair each row with a column of its own."""
    rows, columns = matrix.shape
    if rows > columns:
        matrix, rows, columns = matrix.T, columns, rows
    return max(sum(matrix[range(rows), list(chosen)]) for chosen in permutations(range(columns), rows))


@given(weights)
def test_the_total_is_the_brute_force_optimum(matrix):
    assert sum(matrix[pair] for pair in assign(matrix)) == pytest.approx(best_total(matrix))


@given(weights)
def test_pairs_are_one_to_one_and_never_of_weight_zero(matrix):
    pairs = assign(matrix)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    assert all(matrix[pair] > 0 for pair in pairs)


@given(weights, st.randoms(use_true_random=False))
def test_the_order_of_rows_and_columns_does_not_change_the_total(matrix, random):
    rows, columns = list(range(matrix.shape[0])), list(range(matrix.shape[1]))
    random.shuffle(rows)
    random.shuffle(columns)
    shuffled = matrix[rows][:, columns]
    assert sum(shuffled[p] for p in assign(shuffled)) == pytest.approx(sum(matrix[p] for p in assign(matrix)))


def test_equal_things_take_the_largest_total_not_the_greedy_pairs():
    assert assign([[0.9, 0.8], [0.8, 0.1]]) == [(0, 1), (1, 0)]


@pytest.mark.parametrize("scores, chosen", [([0.2, 0.9], 1), ([0.9, 0.2], 0)])
def test_of_detections_that_fit_equally_the_more_confident_is_taken(scores, chosen):
    assert assign([[0.7, 0.7]], preference=scores) == [(0, chosen)]


def test_confidence_does_not_buy_a_worse_overlap():
    assert assign([[0.51, 0.5]], preference=[0.1, 1.0]) == [(0, 0)]


@given(weights.flatmap(lambda m: st.tuples(st.just(m), st.lists(st.floats(0, 1), min_size=5, max_size=5))))
def test_confidence_never_costs_overlap(case):
    matrix, scores = case
    pairs = assign(matrix, preference=scores[: matrix.shape[1]])
    assert sum(matrix[pair] for pair in pairs) == pytest.approx(best_total(matrix))


@pytest.mark.parametrize(
    "a, b",
    [("ball", "Balls"), ("person", "people"), ("dining  table", "Dining tables"), ("sheep", "sheep"), ("bus", "buses")],
)
def test_number_case_and_spacing_do_not_make_another_noun(a, b):
    assert same_noun(a, b) and same_noun(b, a)


@pytest.mark.parametrize("a, b", [("cat", "car"), ("ball", "balloon"), ("table", "dining table"), ("ball", "")])
def test_other_nouns_are_other_nouns(a, b):
    assert not same_noun(a, b) and not same_noun(b, a)


@given(st.text(max_size=12), st.text(max_size=12))
def test_any_text_is_compared_without_an_error(a, b):
    assert same_noun(a, a)
    assert same_noun(a, b) == same_noun(b, a)


@pytest.mark.parametrize(
    "category, kind",
    [("Spheres", "ball"), ("box", "cube"), ("sailing ships", "boat"), ("fishes", "fish"), ("ZEBRA", None)],
)
def test_a_closed_vocabulary_is_reached_by_synonym_and_number(category, kind):
    assert kind_of(category, TINY) == kind


def test_a_closed_vocabulary_of_other_words_is_reached_by_number_only():
    kinds = frozenset({"person", "donut", "dining table"})
    assert [kind_of(word, kinds) for word in ("people", "Donuts", "dining tables", "ring")] == [
        "person",
        "donut",
        "dining table",
        None,
    ]


def test_an_open_vocabulary_knows_everything_and_no_synonyms():
    assert kind_of(" Brass  Lamp", None) == "brass lamp"
    assert compatible(["doughnut", "person"], ["ring", "people", "doughnut"], None).tolist() == [
        [False, False, True],
        [False, True, False],
    ]


def test_kinds_that_the_detector_does_not_know_fit_no_label():
    assert compatible(["zebra", "orb"], ["zebra", "ball"], TINY).tolist() == [[False, False], [False, True]]


def test_importing_the_matching_loads_no_grammar_and_no_optimiser():
    code = "import sys, eval.matching; sys.exit(any(name in sys.modules for name in ('inflect', 'scipy', 'torch')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
