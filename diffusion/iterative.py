"""Iterative generation: a plan drawn again after an edit, from the same noise, so that the rest of the picture stays.

InstanceDiffusion (Wang et al., CVPR 2024) repeats noise and caption while single instances are added, replaced, moved
or resized. ``keep_unchanged`` also holds the latents outside the edited boxes at every step, as in blended latent
diffusion (Avrahami et al., SIGGRAPH 2023).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from diffusion.layout import Box, Instance, Layout, LayoutError

if TYPE_CHECKING:
    import torch

HELD = 0.7
"""The share of the steps that hold: latents held to the end leave seams that the decoder turns into fringes."""

EditKind = Literal["added", "removed", "replaced", "moved", "resized", "changed"]


@dataclass(frozen=True)
class Edit:
    """One instance that two plans disagree about. "changed": in neither words nor place, but in its depth, say."""

    kind: EditKind
    before: Instance | None
    after: Instance | None

    @property
    def id(self) -> str:
        """The instance's id, the later one where it is another instance in the same place."""
        instance = self.after or self.before
        assert instance is not None
        return instance.id

    def boxes(self) -> list[Box] | None:
        """Where the instance was and where it is now; None where only points say so, which have no extent."""
        found = []
        for instance in (self.before, self.after):
            if instance is None:
                continue
            if instance.extent() is None:
                return None
            found += [box for box in (instance.box, instance.mask.extent() if instance.mask else None) if box]
        return found


def edits(before: Layout, after: Layout) -> list[Edit]:
    """What became of the instances between two plans of one canvas, in the order of the later plan, removed ones last.

    Instances that are equal but for their id are the same; the others are told by id, then by equal places.
    """
    if (before.width, before.height) != (after.width, after.height):
        raise LayoutError(
            f"the canvases differ: {before.width} x {before.height} and {after.width} x {after.height} pixels; "
            "iterations share one"
        )
    same = Counter(map(_anonymous, before)) & Counter(map(_anonymous, after))
    old, new = _without(before, same), _without(after, same)
    found = []
    for instance in new:
        partner = next((o for o in old if o.id == instance.id), None) or next(
            (o for o in old if _place(o) == _place(instance) and o.id not in {n.id for n in new}), None
        )
        if partner is not None:
            old.remove(partner)
        found.append(Edit(_kind(partner, instance), partner, instance))
    return found + [Edit("removed", instance, None) for instance in old]


def other_words(before: Layout, after: Layout) -> list[str]:
    """Which words make the whole picture another one: caption and background where the prompt that they make together
    is another, and the negative prompt."""
    prompt = ("caption", "background") if before.prompt != after.prompt else ()
    names = [name for name in (*prompt, "negative_prompt") if getattr(before, name) != getattr(after, name)]
    return [name.replace("_", " ") for name in names]


def edited_boxes(found: Sequence[Edit]) -> list[Box]:
    """The boxes that edits concern; LayoutError where one has no extent."""
    boxes = []
    for edit in found:
        own = edit.boxes()
        if own is None:
            raise LayoutError(
                f"{edit.id} is {edit.kind} and has neither a box nor a mask, so that nothing says which region of the "
                "picture that concerns: give it one, or do not hold the rest (--free)"
            )
        boxes += own
    return boxes


def keep_unchanged(plans: Sequence[Layout]) -> Callable[..., dict[str, Any]]:
    """A ``callback_on_step_end`` for drawing ``plans`` in one call, from the same noise.

    After each of the first HELD of the steps a picture takes over, from the one before it, the latents of all cells
    that the boxes of its edits do not touch; the last steps heal the seams. Other words have little effect on these
    cells. LayoutError where an edit has no extent.
    """
    boxes = [edited_boxes(edits(before, after)) for before, after in pairwise(plans)]

    def callback(pipeline: Any, entry: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        import torch

        if entry >= HELD * len(pipeline.scheduler.timesteps):
            return tensors
        latents = tensors["latents"].clone()
        for index, region in enumerate(boxes, start=1):
            edited = _cells(region, *latents.shape[-2:]).to(latents.device)
            latents[index] = torch.where(edited, latents[index], latents[index - 1])
        return {"latents": latents}

    return callback


def _cells(boxes: Sequence[Box], height: int, width: int) -> torch.Tensor:
    """(height, width) bool: the cells that any of the boxes touches."""
    import torch

    from diffusion.gated_attention import box_cells

    corners = torch.tensor([box.xyxy() for box in boxes]).reshape(1, -1, 4)
    return box_cells(corners, torch.ones(1, len(boxes)), height, width)[0].any(0)


def _kind(before: Instance | None, after: Instance) -> EditKind:
    if before is None:
        return "added"
    if (before.category, before.caption) != (after.category, after.caption):
        return "replaced"
    if _place(before) == _place(after):
        return "changed"
    old, new = before.extent(), after.extent()
    if old is None or new is None:
        return "moved" if old is new else "resized"
    alike = math.isclose(old.width, new.width) and math.isclose(old.height, new.height)
    return "moved" if alike else "resized"


def _place(instance: Instance) -> Any:
    """The extent, or what stands for it: equal where two instances are in the same place."""
    return instance.extent() or (instance.point, instance.scribble)


def _anonymous(instance: Instance) -> Instance:
    return instance.model_copy(update={"id": ""})


def _without(layout: Layout, same: Counter[Instance]) -> list[Instance]:
    """The instances of a layout but for those that are counted in ``same``, each taken once."""
    left, rest = same.copy(), []
    for instance in layout:
        if left[_anonymous(instance)]:
            left[_anonymous(instance)] -= 1
        else:
            rest.append(instance)
    return rest
