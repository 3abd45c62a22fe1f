"""Everything bundled from one command: the stages hand their folders on, and each is logged."""

import shlex
import subprocess
import sys

import pytest
from diffusers import AutoencoderDC
from PIL import Image
from torch.distributed.run import parse_args

from diffusion.layout import Box, Instance, Layout
from diffusion.pipeline import InstanceDiffusionPipeline
from eval.tiny_detector import TinyDetector

FEW = ("--scenes", "4", "--autoencoder-steps", "1", "--decoder-steps", "1", "--unet-steps", "1", "--batch", "2",
       "--detector-steps", "1", "--referee-steps", "1")  # fmt: skip
STAGES = ["autoencoder", "decoder", "scenes", "unet", "bundle", "detector", "referee"]


def everything(folder, *more):
    places = [f"--{name}={folder / name}" for name in ("weights", "detector", "referee")]
    return subprocess.run(
        [sys.executable, "-m", "eval.train_all", "--out", str(folder / "work"), *places, *FEW, *more],
        capture_output=True, text=True,
    )  # fmt: skip


def test_the_plan_names_every_stage_and_runs_none(tmp_path):
    said = everything(tmp_path, "--plan").stdout
    assert [line.split()[1].strip(":") for line in said.splitlines()] == STAGES
    assert not list(tmp_path.iterdir())


def test_two_stages_share_the_steps_of_one(tmp_path):
    """The second trains the instances' part alone, on what the first one left."""
    lines = everything(tmp_path, "--plan", "--two-stages", "--unet-steps", "7").stdout.splitlines()
    base, unet = (shlex.split(line) for line in lines if "train_unet" in line)
    said = [{name: words[words.index(name) + 1] for name in ("--steps", "--part", "--out")} for words in (base, unet)]
    assert [(each["--steps"], each["--part"]) for each in said] == [("3", "base"), ("4", "instances")]
    assert unet[unet.index("--initial") + 1] == said[0]["--out"] != said[1]["--out"]


def test_torchrun_hands_every_option_on_to_the_stages_that_several_processes_share(tmp_path):
    """It takes the beginning of one of its own options for that option, wherever it stands."""
    lines = everything(tmp_path, "--plan", "--processes", "2").stdout.splitlines()
    shared = [shlex.split(line)[5:] for line in lines if "torch.distributed.run" in line]
    assert len(shared) == 3
    for arguments in shared:
        read = parse_args(arguments)
        assert read.training_script.startswith("diffusion.tiny.") and read.nproc_per_node == "2"
        assert read.training_script_args == arguments[arguments.index(read.training_script) + 1 :]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    done = everything(folder, "--processes", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.full
def test_every_stage_leaves_its_log_and_what_it_trained_can_be_used(trained):
    logs = sorted((trained / "work" / "logs").iterdir())
    assert [log.stem for log in logs] == [f"{n}-{name}" for n, name in enumerate(STAGES, start=1)]
    assert "step 1 loss" in logs[3].read_text()
    pipeline = InstanceDiffusionPipeline.from_pretrained(trained / "weights")
    assert isinstance(pipeline.vae, AutoencoderDC)
    box = Box(x0=0.2, y0=0.2, x1=0.8, y1=0.8)
    ball = Instance(id="b", category="ball", caption="a red ball", box=box)
    plan = Layout(version=1, caption="a red ball", width=128, height=128, instances=(ball,))
    assert pipeline(plan, num_inference_steps=2).images[0].size == (128, 128)
    for name in ("detector", "referee"):
        assert TinyDetector.load(trained / name, name).detect_batch([Image.new("RGB", (128, 128))] * 2, 0.0)[1]
    assert (trained / "work" / "unet" / "samples" / "000001.png").is_file()


def test_a_stage_that_fails_ends_the_training_and_says_where_it_is_told(tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "autoencoder").write_text("a file where a folder must be")
    failed = everything(tmp_path)
    assert failed.returncode == 1 and "1-autoencoder.log" in failed.stderr
    assert "autoencoder" in (tmp_path / "work" / "logs" / "1-autoencoder.log").read_text()
