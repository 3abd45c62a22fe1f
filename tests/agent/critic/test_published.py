"""What the critic says of the 63 layouts that GPT-4o wrote, finding by finding, against the judgement of a person."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.critic import critique
from diffusion.formats import read_any

DATA = Path(__file__).parents[2] / "data"


def judged() -> dict[tuple[str, str, str], bool]:
    """(layout, code, first instance) of each finding, and whether it is right."""
    lines = (DATA / "critique_judged.txt").read_text().splitlines()
    rows = (line.split() for line in lines if not line.startswith("#"))
    return {(layout, code, first): verdict == "right" for layout, code, first, verdict in rows}


def test_every_finding_was_judged_and_nearly_all_are_right() -> None:
    found = {
        (reading.source.rpartition(" ")[2], finding.code, finding.ids[0])
        for reading in read_any(DATA / "layouts" / "gpt4o_layouts.jsonl", bbox="xyxy")
        for finding in critique(reading.layout.caption, reading.layout).findings
    }
    verdicts = judged()
    assert found == verdicts.keys()
    right = sum(verdicts[finding] for finding in found)
    print(f"right by eye: {right} of {len(found)} findings")
    assert right >= 0.95 * len(found)


@pytest.mark.parametrize("name", ["corgi_kitchen", "eagle_left", "eagle_right", "teddy_bear_castle", "cat_dog_robin"])
def test_the_published_examples_have_no_finding(name: str) -> None:
    (reading,) = read_any(DATA / "layouts" / f"demo_{name}.json")
    assert critique(reading.layout.caption, reading.layout).findings == ()
