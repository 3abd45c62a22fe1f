"""Train the tiny world's detector on freshly drawn scenes: ``python -m eval.train_tiny_detector --out DIR --steps N``.

Resumable: DIR/checkpoint.pt is written every minute and at the end, DIR/detector holds the weights (an exponential
moving average) as ``TinyDetector.load`` reads them. With ``--vae`` half of the pictures are seen as the VAE
reconstructs them, which is how generated pictures look. Runs on one CPU thread, or on a GPU where there is one.
"""

from __future__ import annotations

import argparse
import io
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, IterableDataset

from diffusion.precision import mixed_precision
from diffusion.tiny.world import Scene, sample_scene
from eval.tiny_detector import SIDE, STRIDE, DetectorConfig, Maps, TinyDetector, TinyDetectorNet, to_pixels

FIRST_TRAINING_SEED = 100_000_000
"""Training draws seeds from here on; everything below is fresh to the detector."""
GRID = SIDE // STRIDE
SAVE_EVERY_SECONDS = 60
Targets = dict[str, Tensor]


class Examples(IterableDataset[tuple[Tensor, Targets]]):
    """An endless stream of scenes of consecutive seeds; ``start`` counts the scenes already seen."""

    def __init__(self, config: DetectorConfig, first_seed: int, start: int) -> None:
        self.config = config
        self.first_seed = first_seed
        self.start = start

    def __iter__(self) -> Iterator[tuple[Tensor, Targets]]:
        worker = torch.utils.data.get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        index = self.start + first
        while True:
            rng = np.random.default_rng([self.first_seed, index])
            scene = sample_scene(self.first_seed + index, "any")
            image, owners, boxes = _cropped(scene, rng)
            yield to_pixels(_degraded(image, rng)), targets(scene, boxes, owners, self.config)
            index += step


def targets(scene: Scene, boxes: NDArray[np.float64], owners: NDArray[np.uint8], config: DetectorConfig) -> Targets:
    """The maps to learn for a scene whose things have these (N, 4) normalised xyxy boxes.

    ``owners`` (H, W): which thing each pixel shows, counted from 1; 0 is the background.

    ``heat`` (kinds, H, W): Gaussians around the centres, 1 at them. ``box`` (4, H, W) normalised xyxy, ``colour``,
    ``texture`` (H, W) indices and ``weight`` (H, W): the 3 x 3 cells around a centre, nearer things over farther ones.
    ``owners`` (3, 2 H, 2 W): whether a thing is seen, and from there to the centre of its box in shares of the picture.
    """
    heat = torch.zeros(len(config.kinds), GRID, GRID)
    box = torch.zeros(4, GRID, GRID)
    colour = torch.zeros(GRID, GRID, dtype=torch.long)
    texture = torch.zeros(GRID, GRID, dtype=torch.long)
    weight = torch.zeros(GRID, GRID)
    cells = torch.arange(GRID)
    order = sorted(range(len(boxes)), key=lambda i: -scene.things[i].depth)
    centres = [_cell(boxes[i]) for i in range(len(boxes))]
    for exact in (False, True):
        for i in order:
            thing, (column, row) = scene.things[i], centres[i]
            width, height = (boxes[i][2:] - boxes[i][:2]) * GRID
            if not exact:
                sigma_x, sigma_y = max(width * 0.1, 0.5), max(height * 0.1, 0.5)
                bump = torch.exp(
                    -((cells[None] - column) ** 2) / (2 * sigma_x**2) - (cells[:, None] - row) ** 2 / (2 * sigma_y**2)
                )
                kind = config.kinds.index(thing.kind)
                heat[kind] = torch.maximum(heat[kind], bump)
            reach = 0 if exact else 1
            y = slice(max(row - reach, 0), row + reach + 1)
            x = slice(max(column - reach, 0), column + reach + 1)
            box[:, y, x] = torch.tensor(boxes[i], dtype=torch.float32)[:, None, None]
            colour[y, x] = config.colours.index(thing.colour)
            texture[y, x] = config.textures.index(thing.texture)
            weight[y, x] = 1.0 if exact else 0.3
    return {
        "heat": heat,
        "box": box,
        "colour": colour,
        "texture": texture,
        "weight": weight,
        "owners": torch.from_numpy(_to_centres(owners, boxes)),
    }


def loss(maps: Maps, wanted: Targets) -> dict[str, Tensor]:
    """CenterNet's focal loss for the kinds, GIoU and L1 for the boxes, cross entropy for the looks; each a scalar."""
    heat, weight = wanted["heat"], wanted["weight"]
    number = (weight == 1).sum().clamp(min=1)
    log_p, log_q = F.logsigmoid(maps.kinds), F.logsigmoid(-maps.kinds)
    p = log_p.exp()
    found = torch.where(heat == 1, log_p * (1 - p) ** 2, log_q * p**2 * (1 - heat) ** 4)
    at = weight > 0
    near = weight[at] / weight.sum().clamp(min=1)
    centre = (torch.arange(GRID, device=heat.device) + 0.5) / GRID
    cell = torch.stack([centre[None].expand(GRID, GRID), centre[:, None].expand(GRID, GRID)])
    low, high = cell - maps.sides[:, :2], cell + maps.sides[:, 2:]
    boxes = torch.cat([low, high], dim=1).movedim(1, -1)[at]
    true = wanted["box"].movedim(1, -1)[at]

    def look(logits: Tensor, true: Tensor) -> Tensor:
        return 0.5 * (near * F.cross_entropy(logits.movedim(1, -1)[at], true[at], reduction="none")).sum()

    parts = {
        "kind": -found.sum() / number,
        "box": (near * (2 * (1 - giou(boxes, true)) + 4 * (boxes - true).abs().sum(dim=-1))).sum(),
        "colour": look(maps.colours, wanted["colour"]),
        "texture": look(maps.textures, wanted["texture"]),
    }
    if maps.owners is not None:
        seen = wanted["owners"][:, 0]
        off = (maps.owners[:, 1:] - wanted["owners"][:, 1:]).abs().sum(dim=1)
        parts["seen"] = F.binary_cross_entropy_with_logits(maps.owners[:, 0], seen)
        parts["owner"] = 4 * (off * seen).sum() / seen.sum().clamp(min=1)
    return parts


def giou(a: Tensor, b: Tensor) -> Tensor:
    """(N,) generalised IoU (Rezatofighi et al., 2019) of (N, 4) xyxy boxes with their counterparts."""
    shared = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(dim=1)
    union = (a[:, 2:] - a[:, :2]).prod(dim=1) + (b[:, 2:] - b[:, :2]).prod(dim=1) - shared
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(dim=1)
    return shared / union - (hull - union) / hull


def train(options: argparse.Namespace, device: torch.device) -> None:
    """Train up to ``options.steps`` steps in all, from OUT/checkpoint.pt where there is one; cosine learning rate."""
    out, steps, batch, peak_lr = options.out, options.steps, options.batch, options.lr
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    config = DetectorConfig(masks=options.masks)
    net = TinyDetectorNet(config).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.995), use_buffers=False)
    optimizer = torch.optim.AdamW(net.parameters(), lr=peak_lr, weight_decay=0.02)
    step, seen = 0, 0
    if (out / "checkpoint.pt").exists():
        state = torch.load(out / "checkpoint.pt", map_location=device, weights_only=True)
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, seen = state["step"], state["seen"]
    first = step

    def save() -> None:
        state = {"net": net.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save({**state, "step": step, "seen": seen}, out / "checkpoint.tmp")
        (out / "checkpoint.tmp").replace(out / "checkpoint.pt")
        exported = TinyDetectorNet(config)
        exported.load_state_dict(average.module.state_dict())
        TinyDetector(exported).save(out / "detector")

    reconstruct = reconstruction(options.vae, device, latent_noise=0.25) if options.vae is not None else None
    net.train()
    saved = started = time.monotonic()
    for pixels, wanted in DataLoader(
        Examples(config, options.first_seed, seen), batch_size=batch, num_workers=options.workers
    ):
        if step >= steps:
            break
        pixels = pixels.to(device, memory_format=torch.channels_last)
        wanted = {name: value.to(device) for name, value in wanted.items()}
        if reconstruct is not None:
            share = len(pixels) // 2
            pixels = torch.cat([reconstruct(pixels[:share]), pixels[share:]])
        progress = step / steps
        warmth = min(1.0, (step - first + 1) / 100)
        for group in optimizer.param_groups:
            group["lr"] = peak_lr * warmth * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        with mixed_precision(device):
            maps = net(_noisy(pixels))
        parts = loss(maps, wanted)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(parts.values())).sum().backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        average.update_parameters(net)
        step, seen = step + 1, seen + batch
        if step % 50 == 0:
            speed = (step - first) * batch / (time.monotonic() - started)
            losses = " ".join(f"{name} {float(value.detach()):.3f}" for name, value in parts.items())
            print(f"step {step}/{steps} {losses} {speed:.0f}/s", flush=True)
        if time.monotonic() - saved > SAVE_EVERY_SECONDS:
            save()
            saved = time.monotonic()
    save()


def _cell(box: NDArray[np.float64]) -> tuple[int, int]:
    """(column, row) of the grid cell that holds the box's centre."""
    x, y = (box[:2] + box[2:]) / 2 * GRID
    return min(int(x), GRID - 1), min(int(y), GRID - 1)


def _to_centres(owners: NDArray[np.uint8], boxes: NDArray[np.float64]) -> NDArray[np.float32]:
    """(3, H / 2, W / 2) of an (H, W) map of owners: seen, and x and y from there to the centre of the owner's box."""
    owners = owners[::2, ::2]
    centres = np.concatenate([np.zeros((1, 2)), (boxes[:, :2] + boxes[:, 2:]) / 2])[owners]
    height, width = owners.shape
    y, x = np.mgrid[:height, :width]
    seen = owners > 0
    return np.stack(
        [seen, seen * (centres[..., 0] - (x + 0.5) / width), seen * (centres[..., 1] - (y + 0.5) / height)]
    ).astype(np.float32)


def _cropped(scene: Scene, rng: np.random.Generator) -> tuple[Image.Image, NDArray[np.uint8], NDArray[np.float64]]:
    """Picture, owners and boxes; now and then of a part that holds all things, stretched to the whole."""
    boxes = np.array([thing.box.xyxy() for thing in scene.things])
    owners = sum(
        (thing.mask * np.uint8(i + 1) for i, thing in enumerate(scene.things)), np.zeros((SIDE, SIDE), np.uint8)
    )
    if rng.random() < 0.7:
        return scene.image, owners, boxes
    low = boxes[:, :2].min(axis=0) * rng.random(2)
    high = 1 - (1 - boxes[:, 2:].max(axis=0)) * rng.random(2)
    low, high = np.minimum(low, 0.3), np.maximum(high, 0.7)
    edges = (*(low * SIDE).tolist(), *(high * SIDE).tolist())
    image = scene.image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=edges)
    cut = Image.fromarray(owners).resize((SIDE, SIDE), Image.Resampling.NEAREST, box=edges)
    return image, np.asarray(cut), (boxes - np.tile(low, 2)) / np.tile(high - low, 2)


def _degraded(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Half of the time: a picture that was shrunk and enlarged, or saved as a JPEG file."""
    chance = rng.random()
    if chance < 0.3:
        side = int(rng.uniform(0.4, 0.9) * SIDE)
        return image.resize((side, side), Image.Resampling.BILINEAR).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    if chance < 0.5:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(rng.integers(25, 85)))
        return Image.open(buffer).convert("RGB")
    return image


def _noisy(pixels: Tensor) -> Tensor:
    """Contrast, brightness, a colour cast, blur and noise, a different amount for every picture."""

    def amount(*shape: int) -> Tensor:
        return torch.rand(len(pixels), *shape, 1, 1, device=pixels.device)

    mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
    pixels = (pixels - mean) * (0.8 + 0.4 * amount(1)) + mean + 0.2 * (amount(1) - 0.5) + 0.1 * (amount(3) - 0.5)
    blurred = F.avg_pool2d(F.pad(pixels, (1, 1, 1, 1), mode="replicate"), 3, 1)
    pixels = torch.lerp(pixels, blurred, (amount(1) < 0.4) * amount(1))
    return pixels + (amount(1) < 0.5) * 0.16 * amount(1) * torch.randn_like(pixels)


def reconstruction(directory: Path, device: torch.device, latent_noise: float) -> Callable[[Tensor], Tensor]:
    """What the VAE in ``directory`` makes of (B, 3, H, W) pictures in [-1, 1].

    The latents get up to ``latent_noise`` times their own deviation in noise, a different amount for every picture.
    """
    from diffusers import AutoencoderDC

    vae: Any = AutoencoderDC.from_pretrained(directory).to(device).eval().requires_grad_(False)

    def reconstruct(pixels: Tensor) -> Tensor:
        with torch.inference_mode(), mixed_precision(device):
            latents = vae.encode(pixels).latent
            spread = latents.std() * latent_noise * torch.rand(len(latents), 1, 1, 1, device=device)
            pictures = vae.decode(latents + spread * torch.randn_like(latents)).sample
        return pictures.float().clamp(-1, 1).clone()

    return reconstruct


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train the tiny world's detector.")
    parser.add_argument("--out", type=Path, required=True, help="the folder for checkpoint.pt and detector/")
    parser.add_argument("--steps", type=int, required=True, help="steps in all, those of earlier runs included")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=2e-3, help="the highest learning rate")
    parser.add_argument("--vae", type=Path, help="an AutoencoderDC that reconstructs half of the pictures")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw; 0 draws in this one")
    parser.add_argument("--seed", type=int, default=0, help="of the first weights and the noise")
    parser.add_argument("--first-seed", type=int, default=FIRST_TRAINING_SEED, help="of the scenes, which follow it")
    parser.add_argument(
        "--masks", action="store_true", help="with a head that tells which pixels belong to which thing"
    )
    train(parser.parse_args(arguments), torch.device("cuda" if torch.cuda.is_available() else "cpu"))


if __name__ == "__main__":
    main()
