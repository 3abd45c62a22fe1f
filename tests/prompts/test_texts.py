"""The prompt texts: strict variables, versions, and worked examples that are themselves valid answers."""

from __future__ import annotations

import itertools
import json
import re

import pytest

from diffusion.layout import MAX_INSTANCES
from prompts.texts import FOLDER, PromptError, prompt, read_prompt
from prompts.wire import read_answer

NAMES = sorted(path.stem for path in FOLDER.glob("*.txt"))
SYSTEM = prompt("plan_system").render(width=512, height=512, max_instances=MAX_INSTANCES)
EXAMPLES = re.findall(r"^Description: (.+)\nAnswer: (\{(?:.+\n?)+)", SYSTEM, re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_every_prompt_has_a_version_and_renders_with_exactly_its_variables(name: str) -> None:
    text = prompt(name)
    assert text.version >= 1
    rendered = text.render(**{variable: f"<{variable}>" for variable in text.variables})
    assert all(f"<{variable}>" in rendered for variable in text.variables)


def test_a_missing_and_a_superfluous_variable_are_named() -> None:
    with pytest.raises(PromptError, match=r"'plan' misses the variable \$description, has no variable \$scene"):
        prompt("plan").render(scene="a cat")


def test_values_are_not_read_as_templates() -> None:
    assert "a sign saying $width and {x}" in prompt("plan").render(description="a sign saying $width and {x}")


@pytest.mark.parametrize(
    ("content", "problem"),
    [("Draw.", "version"), ("version: x\n---\nDraw.", "version"), ("version: 1\n---\nfor 5 $ only", r"\$\$")],
)
def test_a_malformed_file_is_refused(tmp_path, content: str, problem: str) -> None:
    (tmp_path / "broken.txt").write_text(content)
    with pytest.raises(PromptError, match=problem):
        read_prompt(tmp_path / "broken.txt")


def test_an_unknown_prompt_is_named() -> None:
    with pytest.raises(PromptError, match=r"no_such\.txt: cannot be read"):
        prompt("no_such")


def test_all_worked_examples_are_found() -> None:
    assert len(EXAMPLES) == SYSTEM.count("\nDescription: ") == SYSTEM.count("\nAnswer: ") >= 5


@pytest.mark.parametrize(("description", "answer"), EXAMPLES, ids=[description for description, _ in EXAMPLES])
def test_a_worked_example_is_an_answer_that_would_be_accepted(description: str, answer: str) -> None:
    layout = read_answer(answer, width=1024, height=1024).layout
    assert [*json.loads(answer)] == [
        "reasoning",
        "caption",
        "background",
        "negative_prompt",
        "instances",
        "notes",
    ]
    depths = [instance.depth for instance in layout]
    assert len(set(depths)) == len(depths), "an example that shows depth gives each instance its own"


def test_the_examples_do_what_they_show() -> None:
    plans = {description: read_answer(answer, width=1024, height=1024).layout for description, answer in EXAMPLES}
    sheep, cat, bus, boats, snowman = plans.values()
    assert len(sheep.instances) == 3 and sum("black" in one.caption for one in sheep) == 1
    assert cat.instance("cat_1").box.x0 > cat.instance("suitcase_1").box.x1
    assert cat.instance("mirror_1").box.y1 < cat.instance("suitcase_1").box.y0
    cyclist, behind = bus.instance("cyclist_1"), bus.instance("bus_1")
    assert cyclist.depth < behind.depth and cyclist.box.x1 < behind.box.x1 and cyclist.box.y0 < behind.box.y1
    assert "people" in boats.negative_prompt and all("people" not in one.caption for one in boats)
    assert all("watercolour" in one.caption for one in snowman) and "watercolour" in snowman.background


def test_the_examples_keep_the_perspective_that_they_state() -> None:
    """Things of one kind on level ground are as large as their lower edges lie below the horizon."""
    compared = 0
    for _, answer in EXAMPLES:
        horizon = re.search(r"horizon at (\d+)", json.loads(answer)["reasoning"]["ground"])
        things = read_answer(answer, width=1000, height=1000).layout.instances
        for one, other in itertools.combinations(things, 2):
            if horizon and one.category == other.category:
                below = [thing.box.y1 - int(horizon[1]) / 1000 for thing in (one, other)]
                assert one.box.height / other.box.height == pytest.approx(below[0] / below[1], rel=0.05)
                compared += 1
    assert compared >= 4
