"""The command line as a person or a script meets it: real processes, their exit codes, both output streams."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from PIL import Image

from diffusion.layout import json_schema, parse_layout

COMMAND = [sys.executable, "-m", "agent.cli"]
BARE = {key: value for key, value in os.environ.items() if not key.startswith(("OPENAI_", "SCENEWRIGHT_"))}
DATA = Path(__file__).parents[1] / "data"

PLAN = {
    "version": 1,
    "caption": "a red ball left of a blue cube",
    "width": 128,
    "height": 128,
    "instances": [
        {
            "id": "ball-1",
            "category": "ball",
            "caption": "a red ball",
            "box": {"x0": 0.1, "y0": 0.5, "x1": 0.4, "y1": 0.8},
        },
        {
            "id": "cube-1",
            "category": "cube",
            "caption": "a blue cube",
            "box": {"x0": 0.5, "y0": 0.4, "x1": 0.9, "y1": 0.8},
        },
    ],
}


@pytest.fixture
def cli(tmp_path):
    """Runs the command in an empty folder: ``cli("plan", "a ball").returncode``."""

    def run(*arguments, stdin: bytes = b"", timeout: float = 60, **environment):
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            cwd=tmp_path,
            env={**BARE, **environment},
            timeout=timeout,
        )

    return run


@pytest.fixture
def plan_file(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(PLAN))
    return path


def message(result) -> str:
    """What a person read on standard error, without a traceback in it."""
    text = result.stderr.decode()
    assert "Traceback" not in text
    return " ".join(text.replace("│", " ").split())


class TestPlan:
    def test_json_is_one_valid_plan_and_nothing_else(self, cli):
        result = cli("plan", "a red ball left of a blue cube on green grass", "--json")
        assert result.returncode == 0
        jsonschema.validate(json.loads(result.stdout), json_schema())
        layout = parse_layout(result.stdout)
        assert (layout.width, layout.height) == (128, 128)
        ball, cube = sorted(layout, key=lambda instance: instance.category)
        assert ball.extent().center.x < cube.extent().center.x
        assert "offline" in message(result)

    def test_the_table_names_every_object(self, cli):
        result = cli("plan", "a red ball and a blue cube")
        assert result.returncode == 0
        assert "red ball" in result.stdout.decode() and "blue cube" in result.stdout.decode()

    def test_the_same_seed_gives_the_same_plan(self, cli):
        first, again = (cli("plan", "three red balls", "--seed", 5, "--json").stdout for _ in range(2))
        assert first == again != b""

    def test_the_canvas_is_the_models_or_the_one_asked_for(self, cli):
        assert parse_layout(cli("plan", "a dog", "--model", "sd15", "--json").stdout).width == 512
        wide = parse_layout(cli("plan", "a dog", "--width", 256, "--json").stdout)
        assert (wide.width, wide.height) == (256, 128)

    def test_output_writes_the_plan_that_is_shown(self, cli, tmp_path):
        result = cli("plan", "a red ball", "--json", "-o", "deep/er/plan.json")
        assert json.loads((tmp_path / "deep/er/plan.json").read_text()) == json.loads(result.stdout)

    def test_a_file_gives_a_line_a_prompt_in_order(self, cli):
        prompts = "a red ball\r\n\n  \ntwo cats – zwei Katzen\na blue cube"
        result = cli("plan", "--file", "-", "--json", stdin=prompts.encode())
        assert result.returncode == 0
        records = [json.loads(line) for line in result.stdout.splitlines()]
        assert [record["prompt"] for record in records] == ["a red ball", "two cats – zwei Katzen", "a blue cube"]
        assert all(record["plan"]["instances"] for record in records)
        assert "2 blank lines" in message(result)

    def test_a_line_that_fails_does_not_stop_the_others(self, cli, tmp_path):
        (tmp_path / "prompts.txt").write_text("a red ball\n" + "ball " * 2000 + "\na blue cube\n")
        result = cli("plan", "--file", "prompts.txt", "--json", "-o", "plans.jsonl")
        assert result.returncode == 2
        good, bad, last = (json.loads(line) for line in result.stdout.splitlines())
        assert good["plan"] and last["plan"]
        assert bad["plan"] is None and "characters" in bad["error"]
        assert "prompts.txt: line 2" in message(result)
        assert (tmp_path / "plans.jsonl").read_bytes() == result.stdout

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (b"a red ball\n\xff\xfea blue cube\n", "line 2: not UTF-8"),
            (b"", "no prompt"),
            (b" \n\n", "no prompt"),
        ],
    )
    def test_a_file_without_prompts_or_in_another_encoding_is_refused(self, cli, content, expected):
        result = cli("plan", "--file", "-", stdin=content)
        assert result.returncode == 2
        assert result.stdout == b""
        assert expected in message(result)

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ((), "give a prompt or --file"),
            (("a ball", "--file", "x.txt"), "one of the two"),
            (("",), "prompt is empty"),
            (("  \t",), "prompt is empty"),
            (("ball " * 1000,), "5000 characters"),
            (("--file", "nowhere.txt"), "nowhere.txt: cannot be read"),
            (("--file", "."), ".: cannot be read"),
            (("a ball", "--planner", "oracle"), "oracle"),
            (("a ball", "--planner", "openai"), "OPENAI_API_KEY"),
            (("a ball", "--seed", "-1"), "--seed"),
            (("a ball", "--width", "7"), "--width"),
            (("a ball", "-o", "/dev/full/x"), "cannot be written"),
            (("a ball", "--bogus"), "--bogus"),
        ],
    )
    def test_what_is_wrong_is_said_in_words(self, cli, arguments, expected):
        result = cli("plan", *arguments)
        assert result.returncode == 2
        assert result.stdout == b""
        assert expected in message(result)

    def test_a_prompt_that_is_no_text_is_refused(self, cli):
        result = subprocess.run([*COMMAND, "plan", b"a ball \xff"], capture_output=True, env=BARE, timeout=60)
        assert result.returncode == 2
        assert "UTF-8" in message(result)

    def test_a_prompt_cannot_steer_the_terminal(self, cli):
        result = cli("plan", "a \x1b[31mred\x1b[0m ball \u202e and a [bold]cube[/bold]")
        assert b"\x1b" not in result.stdout + result.stderr
        assert "\u202e" not in (result.stdout + result.stderr).decode()
        assert result.returncode in (0, 2)


class TestCheck:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (b"", "not a picture"),
            (b"just text", "not a picture"),
            (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "picture"),
        ],
    )
    def test_a_broken_picture_is_named(self, cli, plan_file, tmp_path, content, expected):
        (tmp_path / "image.png").write_bytes(content)
        result = cli("check", plan_file, "image.png")
        assert result.returncode == 2
        assert "image.png" in message(result) and expected in message(result)

    def test_a_missing_picture_and_a_missing_plan_are_named(self, cli, plan_file):
        assert "nowhere.png: cannot be read" in message(cli("check", plan_file, "nowhere.png"))
        assert "nowhere.json: cannot be read" in message(cli("check", "nowhere.json", "nowhere.png"))

    def test_a_cut_off_picture_is_named(self, cli, plan_file, tmp_path):
        Image.effect_noise((128, 128), 50).save(tmp_path / "whole.png")
        (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:2000])
        result = cli("check", plan_file, "cut.png")
        assert result.returncode == 2
        assert "cut.png" in message(result)

    def test_an_unknown_detector_is_named(self, cli, plan_file, tmp_path):
        Image.new("RGB", (128, 128)).save(tmp_path / "image.png")
        result = cli("check", plan_file, "image.png", "--detector", "eagle")
        assert result.returncode == 2
        assert "eagle" in message(result)

    def test_a_plan_that_breaks_the_contract_is_named_by_its_field(self, cli, tmp_path):
        broken = json.loads(json.dumps(PLAN))
        broken["instances"][1]["box"]["x1"] = 1.5
        result = cli("check", "-", "image.png", stdin=json.dumps(broken).encode())
        assert result.returncode == 2
        assert "instances[1].box.x1" in message(result) and "1.5" in message(result)


class TestForeignLayouts:
    LAYOUTS = DATA / "layouts" / "gpt4o_layouts.jsonl"

    def test_a_contradicted_bbox_convention_stops_with_the_reading_that_fits(self, cli):
        result = cli("check", self.LAYOUTS, "x.png", "--entry", 3)
        assert result.returncode == 2
        assert "--bbox xyxy" in message(result)

    def test_the_reading_can_be_asked_for(self, cli):
        result = cli("check", self.LAYOUTS, "x.png", "--entry", 3, "--bbox", "xyxy")
        assert "x.png: cannot be read" in message(result)

    @pytest.mark.parametrize("canvas", ["512", "0x0x0", "axb", "-1x5"])
    def test_a_canvas_has_two_sides(self, cli, canvas):
        result = cli("check", self.LAYOUTS, "x.png", f"--canvas={canvas}")
        assert result.returncode == 2
        assert "512x512" in message(result)


class TestRender:
    def test_a_model_that_is_not_there(self, cli, plan_file):
        result = cli("render", plan_file, "-o", "run", "--model", "nowhere/model")
        assert result.returncode == 4
        assert "nowhere/model" in message(result)

    def test_a_folder_that_cannot_be_made(self, cli, plan_file):
        result = cli("render", plan_file, "-o", plan_file)
        assert result.returncode == 2
        assert "not a folder" in message(result)


class TestModelsAndSchema:
    def test_the_schema_accepts_a_plan_and_refuses_a_broken_one(self, cli):
        schema = json.loads(cli("schema").stdout)
        jsonschema.validate(PLAN, schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**PLAN, "surprise": 1}, schema)

    def test_the_tiny_worlds_words_can_be_listed(self, cli):
        words = json.loads(cli("models", "tiny", "--json").stdout)
        assert {"kinds", "colours", "textures", "backgrounds"} <= set(words)
        assert set(words["colours"]) == {"black", "white", "red", "green", "yellow", "blue", "pink", "purple"}
        assert "ball" in words["kinds"]

    def test_every_model_is_listed_and_others_are_refused(self, cli):
        assert [entry["name"] for entry in json.loads(cli("models", "--json").stdout)] == ["tiny", "sd15"]
        result = cli("models", "dalle")
        assert result.returncode == 2
        assert "tiny, sd15" in message(result)


class TestEveryCommand:
    def test_help_and_usage(self, cli):
        assert cli("--help").returncode == 0
        assert "Exit codes" in cli("generate", "--help").stdout.decode()
        assert cli("--version").stdout.decode().startswith("scenewright ")
        assert cli("bogus").returncode == 2

    @pytest.mark.parametrize("arguments", [("--help",), ("schema",), ("models", "tiny")])
    def test_a_reader_that_has_seen_enough_is_no_error(self, cli, arguments):
        reader, writer = os.pipe()
        os.close(reader)
        result = subprocess.run([*COMMAND, *arguments], stdout=writer, stderr=subprocess.PIPE, env=BARE, timeout=60)
        os.close(writer)
        assert result.returncode == 0
        assert result.stderr == b""

    def test_a_full_disk_is_said_in_words(self):
        with open("/dev/full", "wb") as full:
            result = subprocess.run([*COMMAND, "schema"], stdout=full, stderr=subprocess.PIPE, env=BARE, timeout=60)
        assert result.returncode == 2
        assert "No space left" in message(result)

    def test_a_defect_names_the_file_of_its_traceback(self, tmp_path):
        # The package is shadowed by one whose vocabulary is broken: a defect that no argument can cause.
        script = (
            "import sys, diffusion.tiny.vocabulary as v; del v.KINDS\n"
            "import agent.cli; sys.argv = ['scenewright', *sys.argv[1:]]; agent.cli.app()"
        )
        run = [sys.executable, "-c", script, "models"]
        result = subprocess.run(run, capture_output=True, env={**BARE, "TMPDIR": str(tmp_path)}, timeout=60)
        assert result.returncode == 1
        assert "please report" in message(result)
        (trace,) = tmp_path.glob("scenewright-*.traceback.txt")
        assert str(trace) in result.stderr.decode()
        assert "Traceback" in trace.read_text() and "KINDS" in trace.read_text()
        shown = subprocess.run([*run[:3], "--debug", "models"], capture_output=True, env=BARE, timeout=60)
        assert shown.returncode == 1
        assert "Traceback" in shown.stderr.decode()

    def test_json_is_json_in_any_encoding_of_the_terminal(self, cli):
        prompt = "a red ball – ボール"
        result = cli("plan", "--file", "-", "--json", stdin=prompt.encode(), PYTHONIOENCODING="latin-1")
        assert result.returncode == 0
        assert json.loads(result.stdout.decode("latin-1"))["prompt"] == prompt


class TestStartUp:
    SPY = (
        "import sys, atexit\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'numpy', 'scipy', 'PIL', 'openai', 'inflect', 'skimage'}\n"
        "atexit.register(lambda: print('LOADED', sorted(heavy & set(sys.modules)), file=sys.stderr))\n"
        "import agent.cli; agent.cli.app(sys.argv[1:])"
    )

    @pytest.mark.parametrize(
        "arguments", [("--help",), ("plan", "two red balls left of a blue cube", "--json"), ("models",), ("schema",)]
    )
    def test_light_commands_load_no_heavy_library(self, arguments):
        result = subprocess.run([sys.executable, "-c", self.SPY, *arguments], capture_output=True, env=BARE, timeout=60)
        assert result.returncode == 0
        assert "LOADED []" in result.stderr.decode()
