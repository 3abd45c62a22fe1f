"""Ids, seeds and file names come from what an item is."""

import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.batch.items import ItemOptions, derived_seed, made_id, safe_name

IDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=200)
NASTY = [
    "..",
    ".",
    "a/b",
    "a\\b",
    "../../etc/passwd",
    "C:con",
    "con",
    "NUL.png",
    "a ",
    " a",
    "a.",
    "-",
    "\u202e",
    "é",
    "É",
]


def as_a_file_system_sees_it(name: str) -> str:
    """Two names that some system takes for one: case and composition do not count."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFC", name).casefold())


@given(IDS)
def test_a_name_is_one_plain_file_name(item_id):
    name = safe_name(item_id)
    assert PurePosixPath(name).parts == PureWindowsPath(name).parts == (name,)
    assert name not in (".", "..") and not name.startswith((".", "-")) and not name.endswith((".", " "))
    assert len(name.encode()) <= 150
    assert name.isprintable() and not set(name) & set('<>:"|?*\0')
    assert not PureWindowsPath(name).is_reserved()


@given(st.lists(IDS, min_size=2, max_size=8, unique=True))
def test_different_ids_never_share_a_file(ids):
    assert len({as_a_file_system_sees_it(safe_name(item_id)) for item_id in ids}) == len(ids)


def test_names_that_look_alike_differ_and_unicode_stays():
    pairs = [
        ("A", "a"),
        ("é", "e\u0301"),
        ("a/b", "a_b"),
        ("a/b", safe_name("a/b")),
        ("x" * 150, "x" * 151),
        ("ß", "ss"),
    ]
    for one, other in pairs:
        assert as_a_file_system_sees_it(safe_name(one)) != as_a_file_system_sees_it(safe_name(other))
    assert len({as_a_file_system_sees_it(safe_name(item_id)) for item_id in NASTY}) == len(NASTY)
    assert safe_name("赤いボール-01") == "赤いボール-01"
    assert safe_name("scene-001") == "scene-001" and safe_name("🎈-7") == "🎈-7"


def test_an_id_that_was_made_depends_on_the_content_alone():
    plain = made_id("A red ball!", None, None, ItemOptions())
    assert plain == made_id("A red ball!", None, None, ItemOptions())
    assert plain.startswith("a-red-ball-")
    others = {
        made_id("a red ball!", None, None, ItemOptions()),
        made_id("A red ball!", None, 0, ItemOptions()),
        made_id("A red ball!", None, None, ItemOptions(steps=4)),
    }
    assert len(others | {plain}) == 4
    assert made_id("赤い ボール", None, None, ItemOptions()).startswith("赤い-ボール-")


@pytest.mark.parametrize("batch_seed", [0, 7])
def test_seeds_differ_by_item_and_by_batch(batch_seed):
    seeds = {derived_seed(f"item {n}", batch_seed) for n in range(200)}
    assert len(seeds) == 200
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert derived_seed("item 1", batch_seed) != derived_seed("item 1", batch_seed + 1)
