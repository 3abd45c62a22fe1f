"""Draws scenes of the tiny world in parallel and keeps them: as pictures, or as latents with their layouts.

``python -m diffusion.tiny.pictures --help`` writes the encoded scenes that the UNet is trained on.
"""

from __future__ import annotations

import argparse
import gzip
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diffusion.layout import Layout, parse_layout
from diffusion.tiny.painting import DESIGN_SIDE
from diffusion.tiny.sampling import Split
from diffusion.tiny.world import sample_scene

if TYPE_CHECKING:
    import torch
    from diffusers.models.autoencoders.autoencoder_dc import AutoencoderDC

FIRST_TRAINING_SEED = 1_000_000
SHARD = 1000
"""Scenes in a file of layouts, and the step in which an interrupted encoding goes on."""
_BLOCK = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--autoencoder", type=Path, required=True, help="folder of the trained autoencoder")
    parser.add_argument("--out", type=Path, required=True, help="folder for latents and layouts; goes on where it was")
    parser.add_argument("--scenes", type=int, default=48_000)
    parser.add_argument("--first-seed", type=int, default=FIRST_TRAINING_SEED)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()

    import torch
    from diffusers.models.autoencoders.autoencoder_dc import AutoencoderDC

    torch.set_num_threads(1)
    autoencoder = AutoencoderDC.from_pretrained(options.autoencoder).eval()
    for done in encode_scenes(options.out, autoencoder, options.scenes, options.first_seed, options.processes):
        print(f"{done} of {options.scenes} scenes encoded", flush=True)


def encode_scenes(
    folder: Path, autoencoder: AutoencoderDC, scenes: int, first_seed: int, processes: int = 1
) -> Iterator[int]:
    """Training scenes as ``read_scenes`` reads them; yields the number that is ready, every SHARD scenes.

    Latents are scaled by the autoencoder's scaling factor. Scenes that the folder holds already are not drawn again.
    """
    (folder / "layouts").mkdir(parents=True, exist_ok=True)
    channels, side = autoencoder.config["latent_channels"], DESIGN_SIDE // autoencoder.spatial_compression_ratio
    latents = _array(folder / "latents.npy", (scenes, channels, side, side), np.float16)
    start = min(ready(folder), scenes)
    drawn = _drawn(range(first_seed + start, first_seed + scenes), "train", processes)
    while start < scenes:
        pictures, layouts = zip(*islice(drawn, min(SHARD, scenes - start)), strict=True)
        for low in range(0, len(pictures), _BLOCK):
            block = np.stack(pictures[low : low + _BLOCK])
            latents[start + low : start + low + len(block)] = _encode(autoencoder, block)
        latents.flush()
        shard = folder / "layouts" / f"{start:08d}.jsonl.gz"
        shard.with_suffix(".tmp").write_bytes(gzip.compress("\n".join(layouts).encode(), 5))
        shard.with_suffix(".tmp").replace(shard)
        start += len(layouts)
        (folder / "COUNT").write_text(f"{start}\n")
        yield start


def read_scenes(folder: Path) -> tuple[NDArray[np.float16], list[Layout]]:
    """The latents (N, C, h, w), scaled to unit variance, and layouts of the N scenes that are ready in ``folder``."""
    texts: list[bytes] = []
    for shard in sorted((folder / "layouts").glob("*.jsonl.gz")):
        texts.extend(gzip.decompress(shard.read_bytes()).splitlines())
    count = min(ready(folder), len(texts))
    layouts = [parse_layout(text, f"{folder}: scene {index}") for index, text in enumerate(texts[:count])]
    return np.load(folder / "latents.npy", mmap_mode="r")[:count], layouts


def ready(folder: Path) -> int:
    """The number of encoded scenes in ``folder``."""
    counter = folder / "COUNT"
    return int(counter.read_text()) if counter.exists() else 0


def draw_pictures(path: Path, pictures: int, first_seed: int, split: Split, processes: int = 1) -> NDArray[np.uint8]:
    """Random scenes' pictures as a memory-mapped uint8 array (N, H, W, 3), drawn once and kept at ``path``."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp.npy")
        array = _array(temporary, (pictures, DESIGN_SIDE, DESIGN_SIDE, 3), np.uint8)
        seeds = range(first_seed, first_seed + pictures)
        for index, (picture, _) in enumerate(_drawn(seeds, split, processes)):
            array[index] = picture
        array.flush()
        temporary.replace(path)
    array = np.load(path, mmap_mode="r")
    if len(array) != pictures:
        raise ValueError(f"{path} holds {len(array)} pictures, not {pictures}: delete it to draw them again")
    return array


def to_tensor(pictures: NDArray[np.uint8]) -> torch.Tensor:
    """(B, H, W, 3) of 0 to 255 as (B, 3, H, W) of -1 to 1."""
    import torch

    return torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _drawn(seeds: range, split: Split, processes: int) -> Iterator[tuple[NDArray[np.uint8], str]]:
    """(picture, layout as JSON) of each seed, in order; processes keep a little ahead of the reader."""
    blocks = [seeds[low : low + _BLOCK] for low in range(0, len(seeds), _BLOCK)]
    with ProcessPoolExecutor(processes) as pool:
        ahead = 4 * processes
        waiting = [pool.submit(_draw_block, block, split) for block in blocks[:ahead]]
        for block in [*blocks[ahead:], *[None] * len(waiting)]:
            yield from waiting.pop(0).result()
            if block is not None:
                waiting.append(pool.submit(_draw_block, block, split))


def _draw_block(seeds: range, split: Split) -> list[tuple[NDArray[np.uint8], str]]:
    scenes = map(partial(sample_scene, split=split), seeds)
    return [(np.asarray(scene.image), scene.layout(masks=True).to_json(indent=None)) for scene in scenes]


def _encode(autoencoder: AutoencoderDC, pictures: NDArray[np.uint8]) -> NDArray[np.float16]:
    import torch

    with torch.no_grad():
        latents = autoencoder.encode(to_tensor(pictures)).latent * autoencoder.config["scaling_factor"]
    return latents.numpy().astype(np.float16)


def _array(path: Path, shape: tuple[int, ...], dtype: type) -> np.memmap:
    """The memory-mapped array at ``path``; made where there is none, ValueError where it has another shape."""
    if not path.exists():
        return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    array = np.lib.format.open_memmap(path, mode="r+")
    if array.shape != shape:
        raise ValueError(f"{path} has the shape {array.shape}, not {shape}: give another folder, or delete it")
    return array


if __name__ == "__main__":
    main()
