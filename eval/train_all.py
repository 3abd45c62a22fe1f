"""Trains all that is bundled from nothing, stage by stage: ``python -m eval.train_all --out DIR``.

Each stage is a command of its own that goes on where it stopped, so this one can be stopped and started at any time.
``--plan`` prints the commands and runs none. What a stage prints is also appended to its file in DIR/logs; the UNet's
stage draws the same few scenes at every thousandth step, into DIR/unet/samples.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from diffusion.tiny.bundle import WEIGHTS
from eval.places import BUNDLED

PICTURES = 12_000
"""How many of the scenes the autoencoder learns from at most: it sees crops, and these hold enough of them."""
REFEREE_SEED = 300_000_000
"""Of the referee's first scene: it learns from other pictures than the detector that it must not resemble."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures, latents, checkpoints and logs")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="where the finished pipeline goes")
    parser.add_argument("--detector", type=Path, default=BUNDLED["tiny"], help="where the loop's goes")
    parser.add_argument("--referee", type=Path, default=BUNDLED["tiny-referee"], help="where the second goes")
    parser.add_argument("--processes", type=int, default=1, help="processes that share a training step")
    parser.add_argument("--scenes", type=int, default=48_000)
    parser.add_argument("--autoencoder-steps", type=int, default=4000)
    parser.add_argument("--decoder-steps", type=int, default=1000)
    parser.add_argument("--unet-steps", type=int, default=12_000)
    parser.add_argument(
        "--two-stages",
        action="store_true",
        help="half of the UNet's steps for a text-to-image base, the rest for the instances' part on the frozen base",
    )
    parser.add_argument("--detector-steps", type=int, default=2300)
    parser.add_argument("--referee-steps", type=int, default=800)
    parser.add_argument("--batch", type=int, default=32, help="samples per step of the UNet; a large GPU takes 1024")
    parser.add_argument("--plan", action="store_true", help="print the stages and run none")
    options = parser.parse_args()
    for number, (name, command) in enumerate(stages(options).items(), start=1):
        print(f"{number}. {name}: python -m {shlex.join(command)}", flush=True)
        if not options.plan:
            _run(command, options.out / "logs" / f"{number}-{name}.log")
    if not options.plan:
        _keep(options.out / "detector" / "detector", options.detector)
        _keep(options.out / "referee" / "detector", options.referee)


def stages(options: argparse.Namespace) -> dict[str, list[str]]:
    """The commands by name, in order, as arguments of ``python -m``."""
    out: Path = options.out
    several = ["torch.distributed.run", "--nproc-per-node", str(options.processes), "-m"]
    shared = several if options.processes > 1 else []
    autoencoder, decoder, scenes, unet = (str(out / name) for name in ("autoencoder", "decoder", "scenes", "unet"))
    frozen, finished = str(out / "autoencoder" / "vae"), str(out / "decoder" / "vae")
    pictures = str(min(options.scenes, PICTURES))
    tuning = [
        "--pictures",
        pictures,
        "--initial",
        frozen,
        "--decoder-only",
        "--out",
        decoder,
        "--steps",
        str(options.decoder_steps),
    ]
    base, half = str(out / "base"), options.unet_steps // 2
    judging = ["eval.train_tiny_detector", "--vae", finished]
    other = ["--masks", "--seed", "1", "--first-seed", str(REFEREE_SEED)]

    def training(folder: str, steps: int, *more: str) -> list[str]:
        command = [*shared, "diffusion.tiny.train_unet", "--data", scenes, "--out", folder, "--steps", str(steps)]
        return [*command, "--batch", str(options.batch), "--autoencoder", finished, *more]

    network = {"unet": training(unet, options.unet_steps)}
    if options.two_stages:
        network = {
            "base": training(base, half, "--part", "base"),
            "unet": training(unet, options.unet_steps - half, "--part", "instances", "--initial", base),
        }
    return {
        "autoencoder": [
            *(*shared, "diffusion.tiny.autoencoder", "--out", autoencoder),
            *("--steps", str(options.autoencoder_steps), "--pictures", pictures),
        ],
        "decoder": [*shared, "diffusion.tiny.autoencoder", *tuning],
        "scenes": [
            "diffusion.tiny.pictures",
            *("--autoencoder", frozen, "--out", scenes, "--scenes", str(options.scenes)),
        ],
        **network,
        "bundle": [
            "diffusion.tiny.bundle",
            *("--autoencoder", finished, "--trained", unet, "--out", str(options.weights)),
        ],
        "detector": [*judging, "--out", str(out / "detector"), "--steps", str(options.detector_steps)],
        "referee": [*judging, "--out", str(out / "referee"), "--steps", str(options.referee_steps), *other],
    }


def _run(command: list[str], log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("a") as copy,
        subprocess.Popen(
            [sys.executable, "-m", *command],
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as stage,
    ):
        assert stage.stdout is not None
        for line in stage.stdout:
            print(line, end="", flush=True)
            copy.write(line)
            copy.flush()
    if stage.returncode:
        sys.exit(f"this stage ended with exit code {stage.returncode}; what it said is in {log}")


def _keep(trained: Path, where: Path) -> None:
    where.mkdir(parents=True, exist_ok=True)
    for file in trained.iterdir():
        shutil.copyfile(file, where / file.name)


def _environment() -> dict[str, str]:
    """One thread a process, and threads that sleep while they wait: on few busy cores spinning ones are far slower."""
    return {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", **os.environ}


if __name__ == "__main__":
    main()
