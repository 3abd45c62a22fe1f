"""The bench's own numbers: rows counted, ratios, memory, an engine that draws something else, and the command."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from agent.cli import app
from eval.bench.engine import EngineSettings, bench_engine, counted_rows, random_pipeline, random_plan
from eval.bench.hardware import PeakMemory, describe_device
from tests.diffusion.small import small_unet

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("unet") / "config.json"
    small_unet().to_json_file(path)
    return str(path)


def test_both_schedules_draw_the_same_and_the_ratios_are_those_of_their_seconds(config):
    settings = EngineSettings(config, pictures=2, steps=5, mis=0.4, repeats=2)
    told = []
    result = bench_engine([0, 3], settings, on_run=lambda done, total: told.append((done, total)))
    assert told == [(done, 8) for done in range(9)]
    for run, count in zip(result["runs"], (0, 3), strict=True):
        assert run["instances"] == count and run["difference"] < 1e-5
        seconds = [run[side]["seconds"] for side in ("published", "ours")]
        assert [len(values) for values in seconds] == [2, 2]
        ratios = [slow / fast for slow, fast in zip(*seconds, strict=True)]
        assert min(ratios) <= run["ratio"] <= max(ratios)
        assert run["ratio_without_unifusion"] < run["ratio"]
        assert run["work_ratio"] > 1
        assert run["ours"]["seconds_per_picture"] == pytest.approx(sum(seconds[1]) / 4)
    first, second = (run["ours"]["busy_seconds_per_picture"] for run in result["runs"])
    (added,) = result["busy_seconds_per_added_instance"]
    assert added["ours"] == pytest.approx((second - first) / 3)
    json.dumps(result, allow_nan=False)


def test_rows_are_counted_by_their_work(config):
    """5 steps are 6 entries: 3 inputs for 3 of them, of which the first shares a row; fusers are on for 4 updates."""
    pipeline = random_pipeline(config)
    with counted_rows(pipeline.unet) as rows:
        pipeline(random_plan(2, 8), num_inference_steps=5, alpha=0.8, mis=0.4, output_type="latent")
    assert sum(rows.values()) == 4 + 6 + 6 + 2 + 2 + 2
    assert {on: sum(n for (is_on, _), n in rows.items() if is_on == on) for on in (True, False)} == {True: 20, False: 2}


def test_an_engine_that_draws_something_else_gets_no_numbers(config, monkeypatch):
    from diffusion.unet import InstanceDiffusionUNet

    encode = InstanceDiffusionUNet.encode_instances
    monkeypatch.setattr(InstanceDiffusionUNet, "encode_instances", lambda *a, **k: replace(encode(*a, **k), used=0))
    with pytest.raises(ArithmeticError, match="differ by"):
        bench_engine([2], EngineSettings(config, steps=5, repeats=1))


@pytest.mark.parametrize("steps", [30, 1000])
def test_steps_that_the_two_samplers_would_place_differently_are_refused(steps):
    with pytest.raises(ValueError, match=f"steps = {steps}: .* divisors of 1000 up to 500"):
        EngineSettings(steps=steps)


def test_a_large_product_that_the_network_outruns_is_no_peak(config, monkeypatch):
    monkeypatch.setattr("eval.bench.hardware.matmul_peak", lambda device, dtype: 1.0)
    options = ["--size", config, "--instances", "1", "--steps", "1", "--repeats", "1", "--device", "cpu"]
    told = json.loads(CliRunner().invoke(app, ["bench", "engine", *options, "--json"]).stdout)
    assert [told["runs"][0][side]["share_of_matmul_peak"] for side in ("published", "ours")] == [None, None]
    shown = CliRunner().invoke(app, ["bench", "engine", *options])
    assert shown.exit_code == 0 and "unknown" in shown.stdout


BLOCKS = ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("{", "line 1, column 2: not JSON"),
        (b"\xff", "not UTF-8 text"),
        ("[]", "expected a UNet's configuration, a JSON object"),
        ({"down_block_types": BLOCKS}, "no UNet can be built from it: .*same number of `down_block_types`"),
        ({"up_block_types": ["Up", "Up"]}, "no UNet can be built from it: Up does not exist"),
        ({"unifusion": [1]}, "no UNet can be built from it"),
        ({"sample_size": [8, 8]}, r"sample_size is \[8, 8\]; expected 1 to 1024 cells"),
        ({"in_channels": 9}, "in_channels is 9, out_channels 4"),
    ],
)
def test_a_file_that_configures_no_network_is_named(config, tmp_path, change, expected):
    path = tmp_path / "x.json"
    if isinstance(change, dict):
        change = json.dumps(json.loads(Path(config).read_text()) | change)
    path.write_bytes(change if isinstance(change, bytes) else change.encode())
    refused = CliRunner().invoke(app, ["bench", "engine", "--size", str(path), "--device", "cpu"])
    assert refused.exit_code == 2 and re.search(rf"error: {path}: {expected}", refused.stderr)


def test_memory_at_the_peak_counts_what_is_freed_again():
    before = PeakMemory(CPU).bytes()
    if before is None:
        pytest.skip("this system does not tell")
    memory = PeakMemory(CPU)
    torch.ones(64 << 20, dtype=torch.uint8).sum()
    peak = memory.bytes()
    assert peak >= before + (60 << 20)
    assert PeakMemory(CPU).bytes() < peak


def test_the_device_has_a_name_and_a_speed():
    found = describe_device(CPU, torch.float32)
    assert found["name"] and found["matmul_peak_tflops"] > 0 and found["dtype"] == "float32"


def test_the_command_prints_one_json_object(config):
    options = ["--size", config, "--instances", "2,1", "--steps", "5", "--repeats", "1", "--device", "cpu"]
    done = CliRunner().invoke(app, ["bench", "engine", *options, "--json"])
    assert done.exit_code == 0, done.stderr
    assert [run["instances"] for run in json.loads(done.stdout)["runs"]] == [1, 2]
    shown = CliRunner().invoke(app, ["bench", "engine", *options])
    assert shown.exit_code == 0 and "but UniFusion" in shown.stdout and "float32" in shown.stdout


@pytest.mark.parametrize(
    "options",
    [
        ["--instances", "1,x"],
        ["--instances", "31"],
        ["--steps", "30"],
        ["--steps", "1000"],
        ["--cells", "1025"],
        ["--size", "no/such.json"],
        ["--device", "tpu"],
    ],
)
def test_what_cannot_be_measured_is_refused(options):
    refused = CliRunner().invoke(app, ["bench", "engine", *options])
    assert refused.exit_code in (2, 4) and options[0] in refused.stderr
