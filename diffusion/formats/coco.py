"""COCO annotations (``images``, ``annotations``, ``categories``): each image is one layout.

``bbox`` is [x, y, width, height] in pixels, ``segmentation`` polygons or a run-length code. COCO's instance files
hold no captions: an instance's is its category's name unless its annotation has a ``caption``, and an image's is
composed from them unless the image has one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from diffusion.formats.draft import Draft, Part, canvas_side, ignored
from diffusion.formats.fields import Field, identity
from diffusion.formats.shapes import read_mask
from diffusion.layout import MAX_INSTANCES, LayoutError, short

ANNOTATION_KEYS = {"id", "image_id", "category_id", "bbox", "segmentation", "area", "iscrowd", "caption"}


@dataclass(frozen=True)
class CocoImage:
    """One image of a file, with the names by which it can be asked for."""

    id: object
    file_name: str
    draft: Draft | LayoutError


def draft_coco(root: Field, canvas: tuple[int, int] | None = None) -> Iterator[CocoImage]:
    """One draft, or the error that stands in its place, for each image, in the order of ``images``."""
    images, names = root.need("images").elements(), _categories(root)
    of_image: dict[object, list[Field]] = {}
    for annotation in root.need("annotations").elements():
        of_image.setdefault(identity(annotation.need("image_id")), []).append(annotation)
    known = [identity(image.need("id")) for image in images]
    if len(set(known)) < len(known):
        again = next(index for index, image_id in enumerate(known) if image_id in known[:index])
        raise images[again].need("id").wrong("an earlier image has the same id")
    for orphan in of_image.keys() - set(known):
        raise of_image[orphan][0].need("image_id").wrong("no image has this id")
    for image, image_id in zip(images, known, strict=True):
        file_name = image.get("file_name")
        label = file_name.text() if file_name else str(image_id)
        try:
            draft: Draft | LayoutError = _draft(image, of_image.get(image_id, []), names, canvas, label)
        except LayoutError as error:
            draft = error
        yield CocoImage(image_id, label, draft)


def _draft(
    image: Field, annotations: list[Field], names: dict[object, str], canvas: tuple[int, int] | None, label: str
) -> Draft:
    source = f"{image.source}: image {label if label.isprintable() else short(label)}"
    image = Field(image.value, image.path, source)
    annotations = [Field(annotation.value, annotation.path, source) for annotation in annotations]
    width = canvas_side(image.get("width"), image, "width", canvas)
    height = canvas_side(image.get("height"), image, "height", canvas)
    if len(annotations) > MAX_INSTANCES:
        raise LayoutError(f"{source}: {len(annotations)} annotations; a layout has at most {MAX_INSTANCES} instances")
    notes = ignored(annotations, ANNOTATION_KEYS, "annotations[].")
    parts = tuple(_part(annotation, names, width, height, notes) for annotation in annotations)
    caption = image.get("caption")
    if caption is None and not parts:
        raise LayoutError(f"{source}: {image.path} has neither annotations nor a caption: there is nothing to draw")
    composed = ", ".join(dict.fromkeys(part.category for part in parts))
    if caption is None:
        notes.append(f"{image.path} has no caption: composed {short(composed)} from its categories")
    return Draft(
        field=image,
        caption=caption.text() if caption else composed,
        width=width,
        height=height,
        parts=parts,
        notes=tuple(notes),
    )


def _part(annotation: Field, names: dict[object, str], width: int, height: int, notes: list[str]) -> Part:
    category = annotation.need("category_id")
    name = names.get(identity(category))
    if name is None:
        raise category.wrong("no category has this id")
    crowd = annotation.get("iscrowd")
    if crowd is not None and crowd.value not in (0, False):
        notes.append(f"{annotation.path}.iscrowd: a crowd of {short(name)} becomes a single instance")
    segmentation, caption = annotation.get("segmentation"), annotation.get("caption")
    return Part(
        field=annotation,
        category=name,
        caption=caption.text() if caption else name,
        box=annotation.get("bbox"),
        mask=read_mask(segmentation, width, height, notes) if segmentation else None,
    )


def _categories(root: Field) -> dict[object, str]:
    return {
        identity(category.need("id")): category.need("name").text() for category in root.need("categories").elements()
    }
