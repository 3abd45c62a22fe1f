"""Which detection is which planned thing: names that mean the same kind, and one-to-one assignment."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffusion.tiny.vocabulary import canonical_kind

if TYPE_CHECKING:
    import inflect


def assign(weights: ArrayLike, preference: ArrayLike | None = None) -> list[tuple[int, int]]:
    """The one-to-one pairs (row, column) with the largest total weight, in row order (Kuhn 1955, Munkres 1957).

    weights: (N, M), finite, not negative; a pair of weight 0 is never matched, so incompatible pairs are given 0.
    preference: (M,) values in [0, 1]; between assignments of equal weight, the columns with the higher ones are taken.
    """
    from scipy.optimize import linear_sum_assignment

    weights = np.asarray(weights, dtype=np.float64)
    allowed = weights > 0
    if not allowed.any():
        return []
    # A billionth of the largest weight is far below any difference that is measured, and far above rounding.
    tie_break = 0.0 if preference is None else np.asarray(preference, dtype=np.float64) * weights.max() * 1e-9
    rows, columns = linear_sum_assignment(np.where(allowed, weights + tie_break, 0.0), maximize=True)
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True) if allowed[row, column]]


@functools.lru_cache(maxsize=4096)
def kind_of(category: str, kinds: frozenset[str] | None) -> str | None:
    """The one of ``kinds`` that a planned category means, in any number or case or by synonym; None when it means none.

    With an open vocabulary (``kinds`` None) every category is a kind of its own, and no synonym is assumed: to a
    detector of anything a doughnut is no ring.
    """
    name = _normal(category)
    if kinds is None:
        return name
    by_name = {_normal(kind): kind for kind in kinds}
    if name in by_name:
        return by_name[name]
    synonym = canonical_kind(name)
    if synonym in by_name:
        return by_name[synonym]
    return next((kind for normal, kind in sorted(by_name.items()) if same_noun(name, normal)), None)


def compatible(categories: Sequence[str], labels: Sequence[str], kinds: frozenset[str] | None) -> NDArray[np.bool_]:
    """(N, M): whether each planned category and each detected label name the same kind of thing."""
    planned, found = ([kind_of(name, kinds) for name in names] for names in (categories, labels))
    rows = [[a is not None and b is not None and same_noun(a, b) for b in found] for a in planned]
    return np.array(rows, dtype=bool).reshape(len(planned), len(found))


class KindNames:
    """One name for all spellings of a kind: the detector's own, or the first of the nouns that are the same."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, category: str, kinds: frozenset[str] | None) -> str | None:
        """The name of a category's kind; None when the detector knows no such kind."""
        kind = kind_of(category, kinds)
        if kind is None or kind in self._known:
            return kind and self._known[kind]
        self._known[kind] = next((name for name in self._known.values() if same_noun(name, kind)), kind)
        return self._known[kind]


def same_noun(a: str, b: str) -> bool:
    """Whether two nouns are the same but for case, spacing and number, as "Dining table" and "dining tables" are."""
    return _same(*sorted((_normal(a), _normal(b))))


@functools.lru_cache(maxsize=4096)
def _same(a: str, b: str) -> bool:
    if a == b:
        return True
    if a[:1] != b[:1]:  # No English plural changes the first letter; most pairs need no grammar.
        return False
    return bool(_english().compare_nouns(a, b))  # type: ignore[arg-type]


@functools.cache
def _english() -> inflect.engine:
    import inflect

    return inflect.engine()


def _normal(noun: str) -> str:
    return " ".join(noun.lower().split())
