"""The miniature's autoencoder, factor 8 with 8 channels, and its training.

``python -m diffusion.tiny.autoencoder --help``; started again with the same folder it goes on from the last checkpoint,
and several processes share the work when started with ``torchrun``.

The loss asks for three things beside a good picture, for the sake of the diffusion model that lives in the latents:
every channel has mean 0 and variance 1; a little noise on the latents does little to the picture (the decoder
forgives); and latents at half the resolution decode to the picture at half the resolution (they are smooth, as in
EQ-VAE, Kouzelis et al., ICML 2025).
"""

from __future__ import annotations

import argparse
import copy
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from diffusers.models.autoencoders.autoencoder_dc import AutoencoderDC
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import avg_pool2d

from diffusion.precision import mixed_precision
from diffusion.tiny.pictures import FIRST_TRAINING_SEED, draw_pictures, to_tensor
from diffusion.training import Ema, average_gradients, join_processes, learning_rate, load_checkpoint, save_checkpoint

FIRST_TEST_SEED, TEST_PICTURES = 5_000_000, 256
CROP = 64
FULL_PICTURES = 0.2
"""The last part of the training sees whole pictures, and so does a decoder alone: a crop has too much border."""
LATENT_NOISE = 0.08
MOMENTS, HALF_RESOLUTION = 0.1, 0.25
EMA_DECAY = 0.995
WARMUP = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures, checkpoints and the weights")
    parser.add_argument("--initial", type=Path, help="folder of weights to start from")
    parser.add_argument(
        "--decoder-only", action="store_true", help="leave the encoder, and so the latents, as they are"
    )
    parser.add_argument("--pictures", type=int, default=12_000)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=32, help="crops per step, over all processes")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--save-every", type=int, default=250)
    train(parser.parse_args())


def build_autoencoder() -> AutoencoderDC:
    """The architecture with random weights: residual blocks at a half, a quarter and an eighth of the resolution."""
    sizes = {"block_out_channels": (24, 24, 96, 128), "block_types": "ResBlock", "qkv_multiscales": ((),) * 4}
    model = AutoencoderDC(
        latent_channels=8,
        **{f"{half}_{name}": value for half in ("encoder", "decoder") for name, value in sizes.items()},
        encoder_layers_per_block=(0, 1, 1, 1),
        decoder_layers_per_block=(0, 1, 2, 2),
    )
    for name, parameter in model.named_parameters():
        if name.endswith(".norm.weight"):
            parameter.data.fill_(0.1)
    return model


@torch.no_grad()
def reconstruction_psnr(model: AutoencoderDC, pictures: NDArray[np.uint8], noise: float = 0.0) -> torch.Tensor:
    """PSNR of each picture's reconstruction in dB, with Gaussian noise of that deviation on its latents."""
    generator = torch.Generator().manual_seed(0)
    errors = []
    for low in range(0, len(pictures), 32):
        wanted = to_tensor(pictures[low : low + 32])
        latents = model.encode(wanted).latent
        latents = latents + noise * torch.randn(latents.shape, generator=generator)
        errors.append((model.decode(latents).sample.clamp(-1, 1) - wanted).square().mean((1, 2, 3)))
    return 10 * torch.log10(4 / torch.cat(errors))


@torch.no_grad()
def latent_moments(model: AutoencoderDC, pictures: NDArray[np.uint8]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each latent channel, (C,) each, unscaled."""
    latents = torch.cat([model.encode(to_tensor(pictures[i : i + 32])).latent for i in range(0, len(pictures), 32)])
    return latents.mean((0, 2, 3)), latents.std((0, 2, 3))


def autoencoder_loss(
    model: AutoencoderDC, pictures: torch.Tensor, generator: torch.Generator, *, frozen_encoder: bool, half: bool
) -> torch.Tensor:
    """The loss of pictures (B, 3, H, W); ``half`` adds the term at half the resolution for half of the batch."""
    with mixed_precision(pictures.device):
        with torch.set_grad_enabled(not frozen_encoder):
            latents = model.encode(pictures).latent.float()
        noisy = latents + LATENT_NOISE * torch.randn(latents.shape, generator=generator).to(latents.device)
        decoded = model.decode(noisy).sample.float()
    loss = picture_loss(decoded, pictures)
    if not frozen_encoder:
        mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
        loss = loss + MOMENTS * (mean.square() + (deviation - 1).square()).mean()
        if half:
            some = (len(pictures) + 1) // 2
            with mixed_precision(pictures.device):
                decoded = model.decode(avg_pool2d(noisy[:some], 2)).sample.float()
            loss = loss + HALF_RESOLUTION * picture_loss(decoded, avg_pool2d(pictures[:some], 2))
    return loss


def picture_loss(picture: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """L1, squares, and L1 of the gradients (for sharp edges), mean over everything."""
    error = picture - wanted
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return error.abs().mean() + 2 * error.square().mean() + 0.5 * edges


def train(options: argparse.Namespace) -> None:
    """Trains, or goes on from the checkpoint in ``options.out``; leaves fp16 weights in ``options.out / "vae"``."""
    rank, world = join_processes()
    device = torch.device("cuda", rank) if torch.cuda.is_available() else torch.device("cpu")
    torch.manual_seed(0)
    model = build_autoencoder()
    if options.initial:
        trained_before = AutoencoderDC.from_pretrained(options.initial)
        model.load_state_dict(trained_before.state_dict())
        model.register_to_config(scaling_factor=trained_before.config["scaling_factor"])
    modules: dict[str, nn.Module] = {"vae": model}
    modules["vae"].to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    model.encoder.requires_grad_(not options.decoder_only)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=options.lr, betas=(0.9, 0.95), fused=True)
    ema = Ema(modules, EMA_DECAY)
    checkpoint = options.out / "checkpoint.pt"
    start = load_checkpoint(checkpoint, modules, ema, optimizer) if checkpoint.exists() else 0
    pictures, test = _pictures(options, rank, world)

    losses: list[float] = []
    since = time.perf_counter()
    for step in range(start, options.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, options.steps, options.lr, WARMUP)
        batch = _batch(pictures, step, options, rank, world).to(device, memory_format=torch.channels_last)
        generator = torch.Generator().manual_seed((step << 8) + rank)
        loss = autoencoder_loss(model, batch, generator, frozen_encoder=options.decoder_only, half=step % 2 == 0)
        loss.backward()
        average_gradients(trained)
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        ema.update(modules)
        losses.append(loss.item())
        last = step + 1 == options.steps
        if rank == 0 and ((step + 1) % options.save_every == 0 or last):
            save_checkpoint(checkpoint, step + 1, modules, ema, optimizer)
            average = copy.deepcopy(ema.modules["vae"]).cpu()
            assert isinstance(average, AutoencoderDC)
            seconds, since = time.perf_counter() - since, time.perf_counter()
            psnr, noisy = (reconstruction_psnr(average, test, noise).mean() for noise in (0.0, 0.1))
            print(
                f"step {step + 1} loss {sum(losses) / len(losses):.4f} PSNR {psnr:.2f} dB, "
                f"with latent noise 0.1 {noisy:.2f} dB, {seconds:.0f} s",
                flush=True,
            )
            losses = []
            if not options.decoder_only:
                mean, deviation = latent_moments(average, test)
                scale = (deviation.square() + mean.square()).mean().rsqrt().item()
                average.register_to_config(scaling_factor=round(scale, 4))
            average.half().save_pretrained(options.out / "vae")


def _pictures(options: argparse.Namespace, rank: int, world: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Training and test pictures; the first process draws them, the others wait."""
    if rank:
        dist.barrier()
    processes = os.cpu_count() or 1
    pictures = draw_pictures(options.out / "train.npy", options.pictures, FIRST_TRAINING_SEED, "train", processes)
    test = draw_pictures(options.out / "test.npy", TEST_PICTURES, FIRST_TEST_SEED, "any", processes)
    if world > 1 and not rank:
        dist.barrier()
    return pictures, test


def _batch(pictures: NDArray[np.uint8], step: int, options: argparse.Namespace, rank: int, world: int) -> torch.Tensor:
    """The pictures of that step (B, 3, H, W): crops, or a quarter as many whole pictures."""
    random = np.random.default_rng([step, rank])
    size = options.batch // world
    if options.decoder_only or step >= options.steps * (1 - FULL_PICTURES):
        return to_tensor(pictures[np.sort(random.integers(len(pictures), size=max(1, size // 4)))])
    crops = []
    for index in random.integers(len(pictures), size=size):
        y, x = random.integers(pictures.shape[1] - CROP + 1, size=2)
        crops.append(pictures[index, y : y + CROP, x : x + CROP])
    return to_tensor(np.stack(crops))


if __name__ == "__main__":
    main()
