"""The overlap study: its scenes, its marks on pictures that are known, and the command with the bundled model."""

import json
import subprocess
import sys

import pytest

from diffusion.tiny.world import draw_layout
from eval.bench.overlap import APPROACHES, FLOOR, REAL, WAYS, bench_overlap, overlap_scenes
from eval.tiny_detector import TinyDetector

PAIRS = 4


def swapped(layout):
    """The same plan with the farther thing in front."""
    turned = tuple(i.model_copy(update={"depth": 1 - i.depth}) for i in layout)
    return layout.model_copy(update={"instances": turned})


@pytest.fixture(scope="module")
def study():
    """A model that draws as the world does, but when it averages: then the farther thing is in front."""
    asked = []

    def draw(layouts, seeds, way):
        asked.append(way)
        plans = [swapped(layout) for layout in layouts] if way.merge == "average" else layouts
        return [draw_layout(plan, seed).image for plan, seed in zip(plans, seeds, strict=True)]

    result = bench_overlap(draw, TinyDetector.load(), PAIRS)
    assert set(asked) == set(WAYS)
    return result


def row(study, way, approach=None):
    (found,) = (r for r in study["rows"] if (r["way"], r["approach"]) == (way, approach))
    return found


def test_who_is_in_front_is_seen_without_a_detector(study):
    for way in WAYS:
        assert row(study, way.name)["front"]["value"] == (0.0 if way.merge == "average" else 1.0)
    assert row(study, REAL)["front"]["value"] == 1.0


def test_a_model_as_good_as_the_world_reaches_the_ceiling(study):
    ceiling, floor = row(study, REAL), row(study, FLOOR)
    for way in WAYS[1:3]:
        assert {**row(study, way.name), "way": ""} == {**ceiling, "way": ""}
    for name in ("both_found", "mean_iou", "kind"):
        assert floor[name]["value"] < 0.3 < 0.7 < ceiling[name]["value"]


def test_denominators(study):
    """Two orders and two things a scene; nothing is shared side by side."""
    whole, apart = row(study, WAYS[0].name), row(study, WAYS[0].name, APPROACHES[0])
    pictures = PAIRS * len(APPROACHES) * 2
    assert study["pictures"] == whole["both_found"]["of"] == pictures
    assert whole["mean_iou"]["of"] == whole["kind"]["of"] == 2 * pictures
    assert apart["front"]["of"] == 0 and apart["front"]["value"] is None
    assert whole["front"]["of"] == sum(row(study, WAYS[0].name, a)["front"]["of"] for a in APPROACHES) > 0


def test_scenes_of_a_pair_differ_in_place_and_depth_only():
    scenes = overlap_scenes(2)
    assert len(scenes) == 2 * len(APPROACHES) * 2
    first = [scene for scene in scenes if scene.pair == 0]
    assert len({(tuple(i.caption for i in scene.layout), scene.seed) for scene in first}) == 1
    for scene in scenes:
        assert scene.layout.nearest_first()[0] == scene.front
    for one, other in zip(first[::2], first[1::2], strict=True):
        assert [i.box for i in one.layout] == [i.box for i in other.layout]
        assert one.layout.caption != other.layout.caption
    shared = [scene.shared.sum() for scene in first[::2]]
    assert shared == sorted(shared) and shared[0] == 0 < shared[-1]


def test_the_command_draws_every_way_and_prints_json():
    arguments = ["bench", "overlap", "--pairs", "2", "--steps", "1", "--mis", "1", "--json"]
    result = subprocess.run([sys.executable, "-m", "agent.cli", *arguments], capture_output=True, timeout=600)
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert {r["way"] for r in told["rows"]} == {way.name for way in WAYS} | {REAL, FLOOR}
    assert told["pictures"] == 16 and told["model"]["steps"] == 1
