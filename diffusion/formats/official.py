"""InstanceDiffusion's own JSON: ``caption``, ``width``, ``height`` and ``annos``, in and out.

An annotation has a ``caption`` and, all optional, ``category_name``, ``bbox`` ([x, y, width, height] in pixels,
[0, 0, 0, 0] for none), ``mask`` (a COCO run-length code, or [] for none), ``point`` ([x, y] in pixels) and
``scribble`` (pairs, or a flat list, in pixels). The published reader does not look whether boxes stay on the canvas.
This one keeps a box that leaves it only where the instance's own mask shows the cut to be right; and where the
published reader would take the centre of a box without width and height for a point, it reads a point.
Written files also carry ``background``, ``negative_prompt``, ``id`` and ``depth``, which the published reader skips.
"""

from __future__ import annotations

from typing import Any

from diffusion.formats.draft import Draft, Part, canvas_side, ignored
from diffusion.formats.fields import Field, identity
from diffusion.formats.shapes import read_mask, read_point, read_scribble
from diffusion.layout import MAX_INSTANCES, Instance, Layout, LayoutError, Point

KEYS = {"caption", "width", "height", "annos", "background", "negative_prompt"}
ANNO_KEYS = {"bbox", "mask", "point", "scribble", "caption", "category_name", "id", "depth"}


def draft_official(root: Field, canvas: tuple[int, int] | None = None, resample: bool = False) -> Draft:
    """The draft of one object of this format; LayoutError names the field that is not as described above."""
    width = canvas_side(root.get("width"), root, "width", canvas)
    height = canvas_side(root.get("height"), root, "height", canvas)
    annos = root.need("annos").elements(MAX_INSTANCES)
    notes = [*ignored([root], KEYS, ""), *ignored(annos, ANNO_KEYS, "annos[].")]
    parts = tuple(_part(anno, width, height, resample, notes) for anno in annos)
    return Draft(
        field=root,
        caption=root.need("caption").text(),
        background=_text(root, "background"),
        negative_prompt=_text(root, "negative_prompt"),
        width=width,
        height=height,
        parts=parts,
        notes=tuple(notes),
        sizeless_is_point=True,
        names={"category": "category_name"},
    )


def to_official(layout: Layout) -> dict[str, Any]:
    """The layout in this format, in plain JSON types; reading it back gives the same layout.

    Two things are not exact: coordinates pass through pixels (floating point noise), and polygons become
    run-length codes on the canvas. LayoutError when polygons cover no pixel.
    """
    return {
        "caption": layout.caption,
        "width": layout.width,
        "height": layout.height,
        "background": layout.background,
        "negative_prompt": layout.negative_prompt,
        "annos": [_anno(instance, layout.width, layout.height) for instance in layout],
    }


def _part(anno: Field, width: int, height: int, resample: bool, notes: list[str]) -> Part:
    bbox, mask, point, scribble = (_given(anno, key) for key in ("bbox", "mask", "point", "scribble"))
    if bbox is not None and bbox.numbers(4) == (0, 0, 0, 0):
        bbox = None
    category, caption = _text(anno, "category_name"), _text(anno, "caption")
    if not caption.strip() and category.strip():
        notes.append(f"{anno.path} has no caption: its category_name stands in for it")
        caption = category
    depth, name = anno.get("depth"), anno.get("id")
    return Part(
        field=anno,
        category=category,
        caption=caption,
        box=bbox,
        point=read_point(point, width, height, notes) if point else None,
        scribble=read_scribble(scribble, width, height, notes, resample) if scribble else None,
        mask=read_mask(mask, width, height, notes) if mask else None,
        depth=depth.whole() if depth else None,
        id=None if name is None else str(identity(name)),
    )


def _given(anno: Field, key: str) -> Field | None:
    """The member, unless it is an empty list, which means none."""
    member = anno.get(key)
    return None if member is None or member.value == [] else member


def _text(item: Field, key: str) -> str:
    member = item.get(key)
    return "" if member is None else member.text()


def _anno(instance: Instance, width: int, height: int) -> dict[str, Any]:
    anno: dict[str, Any] = {"id": instance.id, "category_name": instance.category, "caption": instance.caption}
    if instance.box is not None:
        x0, y0, x1, y1 = instance.box.xyxy()
        sides = (x0 * width, y0 * height, (x1 - x0) * width, (y1 - y0) * height)
        anno["bbox"] = [_plain(side) for side in sides]
    anno["mask"] = _rle(instance, width, height) if instance.mask is not None else []
    if instance.point is not None:
        anno["point"] = _pair(instance.point, width, height)
    if instance.scribble is not None:
        anno["scribble"] = [_pair(point, width, height) for point in instance.scribble.points]
    if instance.depth is not None:
        anno["depth"] = instance.depth
    return anno


def _rle(instance: Instance, width: int, height: int) -> dict[str, Any]:
    assert instance.mask is not None
    rle = instance.mask.rle
    if rle is None or not isinstance(rle.counts, str):
        from diffusion.masks import array_to_rle, mask_to_array

        try:
            rle = array_to_rle(mask_to_array(instance.mask, height, width))
        except ValueError as error:
            raise LayoutError(f"the mask of {instance.id} covers no pixel of the {width} x {height} canvas") from error
    return {"size": [height, width], "counts": rle.counts}


def _pair(point: Point, width: int, height: int) -> list[float]:
    return [_plain(point.x * width), _plain(point.y * height)]


def _plain(value: float) -> float:
    """A whole number as such: 102, not 102.0 or 101.99999999999999."""
    return round(value) if abs(value - round(value)) < 1e-9 else value
