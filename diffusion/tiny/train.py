"""Trains the miniature from nothing, stage by stage: ``python -m diffusion.tiny.train --out DIR``.

Each stage is a command of its own that goes on where it stopped, so this one can be stopped and started at any time.
The bundled detector has its own: ``python -m eval.train_tiny_detector``.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

from diffusion.tiny.bundle import WEIGHTS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures, latents, checkpoints and logs")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="where the finished pipeline goes")
    parser.add_argument("--processes", type=int, default=1, help="processes that share a training step")
    parser.add_argument("--scenes", type=int, default=48_000)
    parser.add_argument("--autoencoder-steps", type=int, default=4000)
    parser.add_argument("--decoder-steps", type=int, default=1000)
    parser.add_argument("--unet-steps", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=32, help="samples per step of the UNet; a large GPU takes 1024")
    options = parser.parse_args()
    for command in stages(options):
        print("+", shlex.join(command), flush=True)
        subprocess.run([sys.executable, "-m", *command], check=True, env=_environment())


def stages(options: argparse.Namespace) -> list[list[str]]:
    """The commands, in order, as arguments of ``python -m``."""
    out: Path = options.out
    shared = ["torch.distributed.run", "--nproc-per-node", str(options.processes), "-m"]
    autoencoder, decoder, scenes, unet = (str(out / name) for name in ("autoencoder", "decoder", "scenes", "unet"))
    frozen, finished = str(out / "autoencoder" / "vae"), str(out / "decoder" / "vae")
    tuning = ["--start", frozen, "--decoder-only", "--out", decoder, "--steps", str(options.decoder_steps)]
    training = ["--data", scenes, "--out", unet, "--steps", str(options.unet_steps), "--batch", str(options.batch)]
    return [
        [*shared, "diffusion.tiny.autoencoder", "--out", autoencoder, "--steps", str(options.autoencoder_steps)],
        [*shared, "diffusion.tiny.autoencoder", *tuning],
        ["diffusion.tiny.pictures", "--autoencoder", frozen, "--out", scenes, "--scenes", str(options.scenes)],
        [*shared, "diffusion.tiny.train_unet", *training],
        ["diffusion.tiny.bundle", "--autoencoder", finished, "--trained", unet, "--out", str(options.weights)],
    ]


def _environment() -> dict[str, str]:
    """One thread a process, and threads that sleep while they wait: on few busy cores spinning ones are far slower."""
    return {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", **os.environ}


if __name__ == "__main__":
    main()
