"""The bundled detector for the tiny world: a small CenterNet with heads for kind, full extent, colour and texture.

CenterNet is Zhou et al., "Objects as Points" (2019). Stride 4 on a picture of 128 x 128; a thing is a peak at the
centre of its full box, hidden parts included, and the box is regressed from there as distances to its four sides.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from diffusion.layout import Box
from diffusion.tiny.vocabulary import COLOURS, KINDS, TEXTURES
from eval.boxes import iou
from eval.places import BUNDLED
from eval.report import Detection
from eval.thresholds import TINY

SIDE = 128
STRIDE = 4
MOST_DETECTIONS = 40


@dataclass(frozen=True)
class DetectorConfig:
    """The network's size and the words its heads stand for, in order."""

    widths: tuple[int, int, int] = (64, 96, 128)
    blocks: tuple[int, int, int] = (2, 2, 1)
    kinds: tuple[str, ...] = tuple(KINDS)
    colours: tuple[str, ...] = tuple(COLOURS)
    textures: tuple[str, ...] = tuple(TEXTURES)
    masks: bool = False
    """Whether there is a head that tells which pixels belong to which thing."""


class Maps(NamedTuple):
    """What the network says of every cell of the 32 x 32 grid."""

    kinds: Tensor
    """(B, kinds, H, W) logits: is the centre of a thing of that kind here?"""
    sides: Tensor
    """(B, 4, H, W) distances from the cell's centre to left, top, right, bottom, in shares of the picture, > 0."""
    colours: Tensor
    """(B, colours, H, W) logits."""
    textures: Tensor
    """(B, textures, H, W) logits."""
    owners: Tensor | None = None
    """(B, 3, 2 H, 2 W): the logit that a thing is seen here, and from here to the centre of its full box, x and y in
    shares of the picture (Panoptic-DeepLab, Cheng et al., 2020); None without a head for masks."""


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _convolution(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


class TinyDetectorNet(nn.Module):
    """Three scales (1/4, 1/8, 1/16) joined on the finest. ``forward``: (B, 3, 128, 128) in [-1, 1] -> Maps."""

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        fine, middle, coarse = config.widths
        self.stem = nn.Sequential(_convolution(3, 32, 2), _convolution(32, fine, 2))
        self.fine = nn.Sequential(*(_Residual(fine) for _ in range(config.blocks[0])))
        self.middle = nn.Sequential(
            _convolution(fine, middle, 2), *(_Residual(middle) for _ in range(config.blocks[1]))
        )
        self.coarse = nn.Sequential(
            _convolution(middle, coarse, 2), *(_Residual(coarse) for _ in range(config.blocks[2]))
        )
        self.coarse_to_middle = nn.Conv2d(coarse, middle, 1)
        self.middle_to_fine = nn.Conv2d(middle, fine, 1)
        self.join_middle = _convolution(middle, middle)
        self.join_fine = _convolution(fine, fine)
        self.what = _convolution(fine, fine)
        self.where = _convolution(fine, fine)
        self.kinds = nn.Conv2d(fine, len(config.kinds), 1)
        self.sides = nn.Conv2d(fine, 4, 1)
        self.looks = nn.Conv2d(fine, len(config.colours) + len(config.textures), 1)
        if config.masks:
            self.near = _convolution(fine + 32, 32)
            self.owners = nn.Conv2d(32, 3, 1)
        nn.init.constant_(self.kinds.bias, -4.6)  # type: ignore[arg-type]
        nn.init.constant_(self.sides.bias, -2.0)  # type: ignore[arg-type]

    def trunk(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What is seen at 1/2, 1/4, 1/8 and 1/16 of the picture's size."""
        finest = self.stem[0](pixels)
        fine = self.fine(self.stem[1](finest))
        middle = self.middle(fine)
        return finest, fine, middle, self.coarse(middle)

    def forward(self, pixels: Tensor) -> Maps:
        finest, fine, middle, coarse = self.trunk(pixels)
        middle = self.join_middle(middle + F.interpolate(self.coarse_to_middle(coarse), scale_factor=2.0))
        fine = self.join_fine(fine + F.interpolate(self.middle_to_fine(middle), scale_factor=2.0))
        what, where = self.what(fine), self.where(fine)
        colours, textures = self.looks(what).float().split([len(self.config.colours), len(self.config.textures)], dim=1)
        owners = None
        if self.config.masks:
            owners = self.owners(self.near(torch.cat([F.interpolate(where, scale_factor=2.0), finest], dim=1))).float()
        return Maps(self.kinds(what).float(), self.sides(where).float().exp(), colours, textures, owners)


class TinyDetector:
    """Finds the tiny world's things in a picture of any size, which is looked at in 128 x 128."""

    def __init__(self, net: TinyDetectorNet, name: str = "tiny") -> None:
        self.net = net.eval().float()
        self.name = name

    @classmethod
    def load(cls, directory: Path = BUNDLED["tiny"], name: str = "tiny") -> TinyDetector:
        """The detector saved in ``directory``, to be quoted by ``name``.

        OSError or ValueError names the file that is missing or broken.
        """
        config_file, weights_file = directory / "config.json", directory / "model.safetensors"
        try:
            fields = json.loads(config_file.read_text())
            options: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
            net = TinyDetectorNet(DetectorConfig(**options))
        except (TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{config_file}: not a detector's configuration: {error}") from error
        try:
            net.load_state_dict(load_file(weights_file))
        except (SafetensorError, RuntimeError) as error:
            raise ValueError(f"{weights_file}: not the weights of this detector: {error}") from error
        return cls(net, name)

    def save(self, directory: Path) -> None:
        """Write config.json and model.safetensors (fp16)."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "config.json").write_text(json.dumps(asdict(self.net.config), indent=2) + "\n")
        halves = {
            name: value.half() if value.is_floating_point() else value for name, value in self.net.state_dict().items()
        }
        save_file(halves, directory / "model.safetensors")

    @property
    def has_masks(self) -> bool:
        """Whether ``masks`` can be asked for."""
        return self.net.config.masks

    def detect(self, image: Image.Image) -> list[Detection]:
        """What is in the picture, best first; boxes are full extents, normalised xyxy."""
        return self.detect_batch([image])[0]

    def detect_batch(self, images: list[Image.Image], threshold: float = TINY.report) -> list[list[Detection]]:
        """``detect`` for several pictures at once."""
        with torch.inference_mode():
            maps = self.net(torch.stack([to_pixels(image) for image in images]))
        return [self._read(_of_picture(maps, i), threshold) for i in range(len(images))]

    def masks(self, image: Image.Image, detections: Sequence[Detection]) -> list[NDArray[np.bool_]]:
        """(128, 128) each: the pixels where a detection is what one sees. ValueError without a head for masks."""
        with torch.inference_mode():
            owners = self.net(to_pixels(image)[None]).owners
        if owners is None:
            raise ValueError("this detector has no head for masks")
        return group_pixels(owners, detections)

    def features(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """(N, D): the means of what the network sees of each picture at its three coarser scales."""
        with torch.inference_mode():
            scales = self.net.trunk(torch.stack([to_pixels(image) for image in images]))[1:]
        return torch.cat([scale.mean(dim=(2, 3)) for scale in scales], dim=1).float().numpy()

    def _read(self, maps: Maps, threshold: float) -> list[Detection]:
        """The peaks of one picture's maps (without the batch dimension)."""
        config = self.net.config
        heat, kind = maps.kinds.sigmoid().max(dim=0)
        peak = (F.max_pool2d(heat[None], 3, 1, 1)[0] == heat) & (heat >= threshold)
        rows, columns = torch.nonzero(peak, as_tuple=True)
        order = heat[rows, columns].argsort(descending=True, stable=True)[:MOST_DETECTIONS]
        found: list[Detection] = []
        for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
            box = _box(maps.sides[:, row, column].tolist(), (column + 0.5) * STRIDE / SIDE, (row + 0.5) * STRIDE / SIDE)
            if box is None or any(iou(box, other.box) > TINY.nms_iou for other in found):
                continue
            found.append(
                Detection(
                    box=box,
                    label=config.kinds[int(kind[row, column])],
                    score=float(heat[row, column]),
                    colour=config.colours[int(maps.colours[:, row, column].argmax())],
                    texture=config.textures[int(maps.textures[:, row, column].argmax())],
                )
            )
        return found


def _of_picture(maps: Maps, index: int) -> Maps:
    fields = {name: field[index] for name, field in maps._asdict().items() if field is not None}
    return Maps(**fields)


def group_pixels(owners: Tensor, detections: Sequence[Detection]) -> list[NDArray[np.bool_]]:
    """(128, 128) masks from ``Maps.owners`` of one picture.

    Each pixel that shows a thing goes to the detection whose centre, in shares of its box, it points at best; those
    that point at none stay out.
    """
    if not detections:
        return []
    seen, x, y = F.interpolate(owners, size=(SIDE, SIDE), mode="bilinear")[0]
    centre = (torch.arange(SIDE) + 0.5) / SIDE
    boxes = torch.tensor([d.box.xyxy() for d in detections])[:, :, None, None]
    middle, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    pointed = torch.stack([x + centre[None], y + centre[:, None]])
    away = ((pointed - middle) / size).square().sum(dim=1)
    nearest = away.argmin(dim=0)
    return [((seen > 0) & (nearest == i) & (away[i] < 0.25)).numpy() for i in range(len(detections))]


def to_pixels(image: Image.Image) -> Tensor:
    """(3, 128, 128) float32 in [-1, 1]."""
    rgb = image.convert("RGB")
    if rgb.size != (SIDE, SIDE):
        rgb = rgb.resize((SIDE, SIDE), Image.Resampling.BOX if min(rgb.size) > SIDE else Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1).float() / 127.5 - 1


def _box(sides: list[float], x: float, y: float) -> Box | None:
    x0, y0, x1, y1 = max(x - sides[0], 0.0), max(y - sides[1], 0.0), min(x + sides[2], 1.0), min(y + sides[3], 1.0)
    return Box(x0=x0, y0=y0, x1=x1, y1=y1) if x0 < x1 and y0 < y1 else None
