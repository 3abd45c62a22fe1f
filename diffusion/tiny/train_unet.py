"""Trains the miniature's UNet and text tower on encoded scenes: ``python -m diffusion.tiny.train_unet --help``.

Resumable: started again with the same folder it goes on from the last checkpoint. Several processes share the work when
started with ``torchrun``; on a GPU it runs compiled, and in bfloat16 wherever ``diffusion.precision`` finds that fast.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler
from torch import nn
from transformers import CLIPTextModel, PreTrainedTokenizerFast

from diffusion.gated_attention import box_cells
from diffusion.layout import Layout
from diffusion.precision import MuonPrecision, mixed_precision, training_type
from diffusion.tiny.dataset import Batch, TinyDataset, with_text
from diffusion.tiny.model import build_scheduler, build_unet
from diffusion.tiny.pictures import read_scenes
from diffusion.tiny.samples import write_samples
from diffusion.tiny.text import build_text_encoder, build_tokenizer
from diffusion.training import (
    Ema,
    average_gradients,
    diffusion_loss,
    join_processes,
    learning_rate,
    load_checkpoint,
    save_checkpoint,
    wait_for_all,
)
from diffusion.unet import InstanceDiffusionUNet

EMA_DECAY = 0.9985
PARTS = ("all", "base", "instances")
"""Everything at once; or in two stages as the paper does: a text-to-image base that is never given instances, and then,
with ``--initial`` at its result, UniFusion, the gated attention and ScaleU alone on the frozen base."""
WARMUP = 100
CLIP = 1.0
IN_A_BOX = 4.0
"""How much more a latent cell counts where something is to be drawn: backgrounds are large and soon learned."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of encoded scenes (diffusion.tiny.pictures)")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and the trained parts")
    parser.add_argument(
        "--initial", type=Path, help="folder of trained parts to start from, such as the bundled weights"
    )
    parser.add_argument("--part", choices=PARTS, default="all", help="what is trained; see PARTS in the source")
    parser.add_argument("--steps", type=int, default=8000, help="steps of the whole schedule")
    parser.add_argument("--batch", type=int, default=32, help="samples per step, over all processes")
    parser.add_argument("--lr", type=float, default=8e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save-every", type=int, default=250)
    parser.add_argument("--autoencoder", type=Path, help="folder of one, to draw a few scenes with now and then")
    parser.add_argument("--draw-every", type=int, default=1000, help="steps between such drawings, into OUT/samples")
    train(parser.parse_args())


def train(options: argparse.Namespace) -> None:
    rank, world = join_processes()
    device = torch.device("cuda", rank) if torch.cuda.is_available() else torch.device("cpu")
    torch.manual_seed(options.seed)
    latents, layouts = read_scenes(options.data)
    if rank == 0:
        _keep_tokenizer(options.out / "tokenizer", options.initial, layouts)
    wait_for_all()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(options.out / "tokenizer")
    if options.initial:
        unet = InstanceDiffusionUNet.from_pretrained(options.initial / "unet", dtype=torch.float32).train()
        encoder = CLIPTextModel.from_pretrained(options.initial / "text_encoder", dtype=torch.float32).train()
    else:
        unet, encoder = build_unet(), build_text_encoder(tokenizer)
    data = TinyDataset(latents, layouts, tokenizer, unet.slots)
    for name, parameter in (*unet.named_parameters(), *encoder.named_parameters()):
        parameter.requires_grad_(options.part == "all" or is_of_instances(name) == (options.part == "instances"))
    modules: dict[str, nn.Module] = {"unet": unet.to(device), "text_encoder": encoder.to(device)}
    parameters = [p for module in modules.values() for p in module.parameters() if p.requires_grad]
    optimizers = build_optimizers(modules, options.lr)
    ema = Ema(modules, EMA_DECAY)
    scheduler = DDPMScheduler.from_config(build_scheduler().config)
    options.out.mkdir(parents=True, exist_ok=True)
    checkpoint = options.out / "checkpoint.pt"
    start = load_checkpoint(checkpoint, modules, ema, *optimizers) if checkpoint.exists() else 0

    compute = loss_of
    if device.type == "cuda":
        compute = torch.compile(loss_of)
    losses, since = [], time.perf_counter()
    for step in range(start, options.steps):
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = learning_rate(step, options.steps, options.lr, WARMUP)
        batch = data.batch(step, options.batch // world, seed=options.seed, rank=rank).to(device)
        generator = torch.Generator().manual_seed((options.seed << 40) + (step << 8) + rank)
        with mixed_precision(device):
            loss = compute(modules, batch, scheduler, generator, 0.0 if options.part == "base" else 1.0)
        loss.backward()
        average_gradients(parameters)
        nn.utils.clip_grad_norm_(parameters, CLIP)
        for optimizer in optimizers:
            with MuonPrecision(training_type(device)):
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        ema.update(modules)
        losses.append(loss.item())
        last = step + 1 == options.steps
        if rank == 0 and ((step + 1) % 50 == 0 or last):
            rate = len(losses) * options.batch / (time.perf_counter() - since)
            print(f"step {step + 1} loss {sum(losses) / len(losses):.4f} {rate:.1f} samples/s", flush=True)
            losses, since = [], time.perf_counter()
        if rank == 0 and ((step + 1) % options.save_every == 0 or last):
            save_checkpoint(checkpoint, step + 1, modules, ema, *optimizers)
            for name, module in ema.modules.items():
                module.save_pretrained(options.out / name)
            build_scheduler().save_pretrained(options.out / "scheduler")
        if rank == 0 and options.autoencoder and ((step + 1) % options.draw_every == 0 or last):
            picture = options.out / "samples" / f"{step + 1:06}.png"
            write_samples(picture, ema.modules, tokenizer, options.autoencoder)


def build_optimizers(modules: dict[str, nn.Module], lr: float) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al., 2024) for the matrices of the linear layers, AdamW for everything else."""
    named = [(name, p) for module in modules.values() for name, p in module.named_parameters() if p.requires_grad]
    matrices = [p for name, p in named if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in named if p.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(matrices, lr=lr, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=lr, weight_decay=0.01, betas=(0.9, 0.99), fused=True),
    ]


def loss_of(
    modules: dict[str, Any], batch: Batch, scheduler: DDPMScheduler, generator: torch.Generator, scale: float = 1.0
) -> torch.Tensor:
    """The diffusion loss of a batch, with gradients to the UNet and the text tower. ``scale``: of the instances."""
    encoder, unet = modules["text_encoder"], modules["unet"]
    context = encoder(batch.prompt).last_hidden_state
    grounding = with_text(batch, encoder(batch.phrases).pooler_output.to(context.dtype))
    instances = unet.encode_instances(grounding, instance_mask=True).at_scale(scale)

    def predict(noisy: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        return unet(noisy, timesteps, context, instances).sample

    cells = box_cells(batch.grounding.boxes, batch.grounding.valid, *batch.latents.shape[-2:])
    emphasis = 1 + IN_A_BOX * cells.any(1, keepdim=True).float()
    return diffusion_loss(predict, batch.latents, scheduler, generator, emphasis)


def is_of_instances(name: str) -> bool:
    """Whether a parameter of the UNet belongs to what InstanceDiffusion adds to the text-to-image network."""
    return name.startswith(("position_net.", "scaleu_")) or ".fuser." in name


def _keep_tokenizer(folder: Path, start: Path | None, layouts: Sequence[Layout]) -> None:
    """Saves the tokenizer that training began with, else a new one: more scenes must not give words new numbers."""
    if folder.exists():
        return
    if start:
        PreTrainedTokenizerFast.from_pretrained(start / "tokenizer").save_pretrained(folder)
    else:
        texts = (text for layout in layouts for text in (layout.caption, *(i.caption for i in layout)))
        build_tokenizer(texts).save_pretrained(folder)


if __name__ == "__main__":
    main()
