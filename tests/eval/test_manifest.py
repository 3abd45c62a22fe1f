"""The manifest that batches write and scores read."""

import pytest

from eval.manifest import MANIFEST, Entry, Failure, ManifestError, Score, read_manifest

DIGEST = "0" * 64
DONE = Entry(
    id="a/b",
    name="a_b-1",
    item_sha256=DIGEST,
    state="done",
    prompt="a red ball\n\u2028赤いボール",
    seed=7,
    image="images/a_b-1.png",
    image_sha256=DIGEST,
    score=Score(detector="tiny", mean_iou=0.5, recall_50=1.0, scored=2),
    finished="2026-01-01T00:00:00+00:00",
)
FAILED = Entry(
    id="c",
    name="c",
    item_sha256=DIGEST,
    state="failed",
    prompt=None,
    seed=0,
    failure=Failure(phase="plan", exit_code=4, message="no server"),
    finished="2026-01-01T00:00:01+00:00",
)


def test_entries_are_read_as_they_were_written(tmp_path):
    (tmp_path / MANIFEST).write_text(DONE.to_line() + FAILED.to_line(), encoding="utf-8")
    assert read_manifest(tmp_path) == [DONE, FAILED]


@pytest.mark.parametrize("length", [1, 40, -1])
def test_a_line_that_was_never_finished_does_not_count(tmp_path, length):
    (tmp_path / MANIFEST).write_bytes(FAILED.to_line().encode() + DONE.to_line().encode()[:length])
    assert read_manifest(tmp_path) == [FAILED]


def test_a_broken_line_is_named(tmp_path):
    (tmp_path / MANIFEST).write_text(DONE.to_line() + FAILED.to_line().replace('"seed":0', '"seed":"x"'))
    with pytest.raises(ManifestError, match=r"manifest\.jsonl: line 2: seed"):
        read_manifest(tmp_path)
