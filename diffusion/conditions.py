"""Layout to tensors: what UniFusion and the instance mask read of a plan.

The published pre-processing, per instance: a missing point is the box's centre, scribbles hold 20 points sorted by
their distance to the origin, a mask becomes 256 polygon points (interior and contour) and a segmentation map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from diffusion.gated_attention import MaskAxes, box_cells
from diffusion.layout import Instance, Layout, LayoutError
from diffusion.masks import mask_to_array
from diffusion.unifusion import Grounding, UniFusion

POINT_REACH = 0.125
"""How far an instance reaches from its points, as a share of the canvas, where nothing says how large it is."""


@dataclass(frozen=True)
class Slots:
    """The sizes that a model's UniFusion was built with."""

    max_instances: int
    text_dim: int
    scribble_points: int
    polygon_points: int
    map_size: int

    @classmethod
    def of(cls, net: UniFusion) -> Slots:
        return cls(net.max_instances, net.text_dim, net.scribble_points, net.polygon_points, net.map_size)


def ground(layout: Layout, text: torch.Tensor, slots: Slots, *, seed: int = 0) -> Grounding:
    """The Grounding of one picture, on the CPU in float32.

    text: (n, text_dim) pooled text embeddings of the layout's instances, in order. seed: for the points that are drawn
    inside masks; with the instance's id it decides them, so that they stay when other instances come, go or change.
    Formats that no instance has are off; boxes are off when no instance has a box or a mask.
    Raises LayoutError when the model has fewer slots than the layout has instances, or cannot see a mask.
    """
    count = len(layout.instances)
    if count > slots.max_instances:
        raise LayoutError(
            f"the plan has {count} instances, but this model draws at most {slots.max_instances}: remove some"
        )
    parts = [_locate(i, layout, slots, np.random.default_rng([seed, *i.id.encode()])) for i in layout]

    def column(name: str, *shape: int) -> torch.Tensor:
        filled = torch.zeros(1, slots.max_instances, *shape)
        for i, part in enumerate(parts):
            filled[0, i] = torch.from_numpy(np.asarray(part[name], dtype=np.float32))
        return filled

    valid = torch.zeros(1, slots.max_instances)
    valid[0, :count] = 1
    embeddings = torch.zeros(1, slots.max_instances, slots.text_dim)
    embeddings[0, :count] = text.detach().float().cpu()
    boxed = any(instance.extent() for instance in layout)
    scribbled = any(instance.scribble for instance in layout)
    masked = any(instance.mask for instance in layout)
    return Grounding(
        valid=valid,
        text=embeddings,
        boxes=column("box", 4),
        points=column("point", 2),
        scribbles=column("scribble", 2 * slots.scribble_points),
        polygons=column("polygon", 2 * slots.polygon_points),
        maps=column("map", slots.map_size, slots.map_size),
        uses=torch.tensor([[boxed or not count, True, scribbled, masked]]),
    )


def _locate(instance: Instance, layout: Layout, slots: Slots, random: np.random.Generator) -> dict[str, np.ndarray]:
    size = slots.map_size
    found = {
        "box": np.zeros(4),
        "scribble": np.zeros(2 * slots.scribble_points),
        "polygon": np.zeros(2 * slots.polygon_points),
        "map": np.zeros((size, size)),
    }
    extent = instance.extent()
    if extent is not None:
        found["box"] = np.array(extent.xyxy(), dtype=np.float32)
        if not (found["box"][:2] < found["box"][2:]).all():
            raise LayoutError(f"the box of {instance.id} is too thin for the network's numbers: draw it larger")
    if instance.mask is not None:
        pixels = _pixels(instance, layout)
        found["polygon"] = polygon_points(pixels, slots.polygon_points, random).ravel()
        found["map"] = resize_nearest(pixels, size)
        if not found["map"].any():
            raise LayoutError(
                f"the mask of {instance.id} falls between the {size} x {size} pixels of the map that this model reads: "
                "draw it larger, or leave it out"
            )
    if instance.scribble is not None:
        drawn = np.array([(p.x, p.y) for p in instance.scribble.points])
        found["scribble"] = spread(by_distance(drawn), slots.scribble_points).ravel()
    elif instance.mask is not None:
        found["scribble"] = scribble_points(pixels, slots.scribble_points, random).ravel()
    if instance.point is not None:
        found["point"] = np.array([instance.point.x, instance.point.y])
    elif extent is not None:
        found["point"] = np.array([extent.center.x, extent.center.y])
    else:
        found["point"] = found["scribble"].reshape(-1, 2)[slots.scribble_points // 2]
    return found


def _pixels(instance: Instance, layout: Layout) -> np.ndarray:
    assert instance.mask is not None
    pixels = mask_to_array(instance.mask, layout.height, layout.width)
    if not pixels.any():
        raise LayoutError(
            f"the mask of {instance.id} covers no pixel of the {layout.width} x {layout.height} canvas: draw its "
            "polygons larger, or leave the mask out"
        )
    return pixels


def regions(layout: Layout, height: int, width: int) -> torch.Tensor:
    """Where each instance lies on a canvas of height x width cells: (n, height, width) bool.

    The cells that its mask touches, else those that its box touches, else those around its points (``point_cells``).
    The canvas is a multiple of the cells in pixels.
    """
    cells = torch.zeros(len(layout.instances), height, width, dtype=torch.bool)
    for row, instance in zip(cells, layout, strict=True):
        if instance.mask is not None:
            blocks = _pixels(instance, layout).reshape(height, layout.height // height, width, layout.width // width)
            row |= torch.from_numpy(blocks.any((1, 3)))
        elif instance.box is not None:
            row |= box_cells(torch.tensor([[instance.box.xyxy()]]), torch.ones(1, 1), height, width)[0, 0]
        else:
            points = instance.scribble.points if instance.scribble else (instance.point,)
            row |= point_cells(torch.tensor([[[(p.x, p.y) for p in points if p is not None]]]), height, width)[0, 0]
    return cells


def masked_cells(g: Grounding, height: int, width: int, axes: MaskAxes = "xy") -> torch.Tensor:
    """What the instance mask takes for each instance's place: (B, N, height, width) bool.

    The cells that its segmentation map touches, else those that its box touches, else those around its points. axes:
    "official" is the published form: boxes alone, mirrored, and none where boxes and masks are both off. A network as
    small as the miniature, trained with the mask, takes no notice of points without it.
    """
    boxed = (g.uses[:, 0] | g.uses[:, 3])[:, None]
    boxes = box_cells(g.boxes, g.valid * boxed, height, width, axes)
    if axes == "official":
        return boxes
    maps = functional.adaptive_max_pool2d(g.maps, (height, width)) * (g.valid * g.uses[:, 3:])[..., None, None] > 0
    scribbled = (g.scribbles.any(-1) & g.uses[:, 2:3])[..., None, None]
    scribbles = g.scribbles.unflatten(-1, (-1, 2))
    points = torch.where(scribbled, scribbles, g.points[:, :, None].expand_as(scribbles))
    around = point_cells(points, height, width) & (g.valid > 0)[..., None, None]
    return _first(maps, _first(boxes, around))


def _first(cells: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """(B, N, h, w): an instance's own cells, the other ones where it has none."""
    return torch.where(cells.any(-1, keepdim=True).any(-2, keepdim=True), cells, others)


def point_cells(points: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The cells within POINT_REACH of any of the points: (B, N, P, 2) normalised x, y -> (B, N, height, width) bool."""
    squares = torch.cat((points - POINT_REACH, points + POINT_REACH), dim=-1).flatten(1, 2)
    cells = box_cells(squares, squares.new_ones(squares.shape[:2]), height, width)
    return cells.unflatten(1, points.shape[1:3]).any(2)


def scribble_points(pixels: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """(H, W) bool -> (count, 2) normalised x, y: random foreground pixels, sorted by distance to the origin."""
    rows, columns = np.nonzero(pixels)
    chosen = random.choice(len(rows), count, replace=len(rows) < count)
    points = np.stack((columns[chosen], rows[chosen]), axis=1)
    return by_distance(points) / pixels.shape[::-1]


def polygon_points(pixels: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """(H, W) bool -> (count, 2) normalised x, y: half inside the mask, half on its contours, sorted by distance.

    The published recipe: contours of the mask padded by one pixel, at level 0, whose padding is not subtracted again;
    interior pixels at even steps of their order by distance to the centre.
    """
    points = np.concatenate((_interior(pixels, count // 2, random), _contour(pixels, count - count // 2)))
    return np.minimum(by_distance(points) / pixels.shape[::-1], 1.0)


def _interior(pixels: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    rows, columns = np.nonzero(pixels)
    points = np.stack((columns, rows), axis=1).astype(float)
    if len(points) < count:
        return points[random.integers(len(points), size=count)]
    order = np.argsort(np.linalg.norm(points - points.mean(0), axis=1), kind="stable")
    step = len(points) // count
    return points[order[np.arange(count) * step + step // 2]]


def _contour(pixels: np.ndarray, count: int) -> np.ndarray:
    from skimage.measure import approximate_polygon, find_contours

    contours = [approximate_polygon(c, 0) for c in find_contours(np.pad(pixels, 1).astype(float), 0)]
    points = np.concatenate([c[:, ::-1] for c in contours if len(c) >= 3]).clip(min=0)
    return spread(points, count)


def by_distance(points: np.ndarray) -> np.ndarray:
    """Points sorted by their distance to the origin; equal distances keep their order."""
    return points[np.argsort(np.linalg.norm(points, axis=1), kind="stable")]


def spread(points: np.ndarray, count: int) -> np.ndarray:
    """``count`` of the points at even steps, first and last included."""
    return points[np.linspace(0, len(points) - 1, count).astype(int)]


def resize_nearest(pixels: np.ndarray, size: int) -> np.ndarray:
    """(H, W) -> (size, size) by nearest neighbour."""
    height, width = pixels.shape
    steps = (np.arange(size) + 0.5) / size
    return pixels[(steps * height).astype(int)][:, (steps * width).astype(int)].astype(np.float32)
