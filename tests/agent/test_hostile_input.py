"""Whatever is typed or piped in, the person reads a message and the script an exit code, never a traceback."""

import copy
import json
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from agent.cli import app

RUNNER = CliRunner()

PLAN = {
    "version": 1,
    "caption": "a red ball left of a blue cube",
    "background": "grass",
    "negative_prompt": "",
    "width": 128,
    "height": 128,
    "instances": [
        {
            "id": "ball-1",
            "category": "ball",
            "caption": "a red ball",
            "box": {"x0": 0.1, "y0": 0.5, "x1": 0.4, "y1": 0.8},
            "point": {"x": 0.2, "y": 0.6},
            "scribble": {"points": [{"x": 0.2, "y": 0.6}]},
            "mask": {"polygons": [[{"x": 0.1, "y": 0.5}, {"x": 0.4, "y": 0.5}, {"x": 0.4, "y": 0.8}]]},
            "depth": 0,
        }
    ],
}

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["", "\x00", "\ud800", "NaN", "1e999", [], {}, [[]], {"x": 1}, "x" * 5000]),
)


def run(*arguments: object, stdin: bytes = b"") -> Result:
    """A command that ended well or with the person to blame; it runs as if no LLM were configured."""
    environment = {"OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""}
    result = RUNNER.invoke(app, [str(argument) for argument in arguments], input=stdin, env=environment)
    assert result.exit_code in (0, 2), result.output
    assert "Traceback" not in result.output and "defect" not in result.stderr
    return result


def paths(value: object, path: tuple = ()) -> list[tuple]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, child in children for deeper in paths(child, (*path, key)))]


@st.composite
def mutated_plans(draw) -> bytes:
    plan = copy.deepcopy(PLAN)
    for path in draw(st.lists(st.sampled_from(paths(PLAN)[1:]), min_size=1, max_size=3)):
        parent = plan
        try:
            for key in path[:-1]:
                parent = parent[key]
            action = draw(st.sampled_from(["replace", "delete", "add"]))
            if action == "delete":
                del parent[path[-1]]
            elif action == "add":
                parent[draw(st.text(max_size=5))] = draw(JUNK)
            else:
                parent[path[-1]] = draw(JUNK)
        except (TypeError, KeyError, IndexError):
            continue
    text = json.dumps(plan)
    cut = draw(st.integers(0, 4 * len(text)))
    return text[:cut].encode("utf-8", "surrogatepass")


@settings(max_examples=100)
@given(prompt=st.text(max_size=200))
@example("\x00")
@example("-1 balls")
@example("999999999999 balls and 0 cubes and -3 cats")
@example("left of left of left of")
@example("a ball " * 500)
@example("\u202eball\u0301\U0001f534")
def test_any_prompt_is_planned_or_refused_in_words(prompt):
    result = run("plan", "--json", "--", prompt)
    assert (result.exit_code == 0) == bool(result.stdout)


@settings(max_examples=100)
@given(content=mutated_plans())
@example(b"")
@example(b"[" * 100_000)
@example(b'{"a":' * 10_000)
@example(b"\xff\xfe{}")
@example(b"NaN")
@example(json.dumps({**PLAN, "width": 10**400}).encode())
def test_any_plan_file_is_read_or_refused_in_words(content):
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "plan.json"
        plan.write_bytes(content)
        # Where the plan is read, the missing picture is what is wrong.
        result = run("check", plan, "nowhere.png")
    assert result.exit_code == 2
    assert "plan.json: " in result.stderr or "nowhere.png: cannot be read" in result.stderr


@settings(max_examples=50)
@given(stdin=st.binary(max_size=300))
def test_any_bytes_as_a_prompt_file_are_planned_or_refused_in_words(stdin):
    result = run("plan", "--file", "-", "--json", stdin=stdin)
    for line in result.stdout.split("\n")[:-1]:
        record = json.loads(line)
        assert (record["plan"] is None) == ("error" in record)


def test_ten_megabytes_are_refused_at_once(tmp_path):
    (tmp_path / "plan.json").write_bytes(b'{"caption": "' + b"x" * 10_000_000 + b'"}')
    (tmp_path / "prompts.txt").write_bytes(b"ball " * 2_000_000)
    assert "plan.json" in run("check", tmp_path / "plan.json", "nowhere.png").stderr
    result = run("plan", "--file", tmp_path / "prompts.txt", "--json")
    assert json.loads(result.stdout)["plan"] is None
