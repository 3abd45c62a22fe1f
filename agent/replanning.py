"""What a replan quotes from a FidelityReport, and what its answer must leave alone."""

from __future__ import annotations

from collections.abc import Iterator

from diffusion.layout import Box, Instance, Layout
from eval.attributes import wanted_attributes
from eval.report import FidelityReport, InstanceVerdict
from prompts.answers import InvalidAnswer
from prompts.wire import GRID, SOURCE, on_grid

TOLERANCE = 2 / GRID
"""How far a corner may be from where it was and count as unmoved: boxes are quoted to the nearest grid unit."""


def accepted_ids(layout: Layout, report: FidelityReport) -> tuple[str, ...]:
    """The instances that a replan must leave where they are, in the plan's order."""
    accepted = {verdict.id for verdict in report.instances if verdict.accepted}
    return tuple(instance.id for instance in layout if instance.id in accepted)


def measured(report: FidelityReport) -> str:
    """The report in lines for an LLM: per instance the wanted and the found box on the grid, IoU, attributes."""
    lines = [f"- {_verdict(verdict, verdict.id in report.unjudged)}" for verdict in report.instances]
    lines += [
        f"- unplanned: {' '.join(filter(None, (thing.colour, thing.label)))} found at {_box(thing.box)}, "
        f"confidence {thing.score:.2f}"
        for thing in report.unplanned
    ]
    lines += [f"- not accepted because: {reason}" for reason in report.reasons]
    return "\n".join(lines) or "- nothing was planned and nothing was found"


def keep_what_must_stay(before: Layout, after: Layout, accepted: tuple[str, ...]) -> tuple[Layout, tuple[str, ...]]:
    """``after`` in the order of ``before``, with accepted instances taken over unchanged except for their depth.

    A moved instance has its new box only: a point, scribble or mask that no longer fits is left out, and the notes
    returned say so. InvalidAnswer names every id that was dropped or added, every category that changed,
    every caption that asks for another colour or texture than before, and every accepted instance whose box or caption
    changed.
    """
    problems = list(_violations(before, after, accepted))
    if problems:
        raise InvalidAnswer("\n".join(f"{SOURCE}: {problem}" for problem in problems))
    instances, notes = [], []
    for old in before:
        new = after.instance(old.id)
        if old.id in accepted:
            new = old.model_copy(update={"depth": new.depth})
        elif old.box is not None and new.box is not None and _same(old.box, new.box):
            new = old.model_copy(update={"caption": new.caption, "depth": new.depth})
        elif left_out := [name for name in ("point", "scribble", "mask") if getattr(old, name) is not None]:
            notes.append(f"{old.id}: moved, so its {' and '.join(left_out)} no longer fits and was left out")
        instances.append(new)
    return after.model_copy(update={"instances": tuple(instances)}), tuple(notes)


def _violations(before: Layout, after: Layout, accepted: tuple[str, ...]) -> Iterator[str]:
    new = {instance.id: (index, instance) for index, instance in enumerate(after)}
    known = {instance.id for instance in before}
    for old in before:
        if old.id not in new:
            yield f"instances: {old.id!r} is missing; every id of the plan must be kept"
            continue
        index, instance = new[old.id]
        yield from (f"instances[{index}].{problem}" for problem in _changes(old, instance, old.id in accepted))
    for instance_id, (index, _) in new.items():
        if instance_id not in known:
            yield f"instances[{index}].id: {instance_id!r} is new; a correction adds no instance"


def _changes(old: Instance, new: Instance, accepted: bool) -> Iterator[str]:
    if new.category != old.category:
        yield f"category: must stay {old.category!r} for {old.id} (got {new.category!r})"
    if (wanted := wanted_attributes(old.caption)) != wanted_attributes(new.caption):
        words = " and ".join(f"{name} {value}" for name, value in wanted.items()) or "no colour or texture"
        yield f"caption: {old.id} must go on asking for {words}, and for no other (got {new.caption!r})"
    if not accepted:
        return
    extent = old.extent()
    if extent is not None and new.box is not None and not _same(extent, new.box):
        yield f"box: {old.id} is accepted and must stay at {_box(extent)} (got {_box(new.box)})"
    if new.caption != old.caption:
        yield f"caption: {old.id} is accepted and must stay {old.caption!r} (got {new.caption!r})"


def _verdict(verdict: InstanceVerdict, unjudged: bool) -> str:
    parts = [f"{verdict.id} ({verdict.caption})"]
    if verdict.planned is not None:
        parts.append(f"wanted at {_box(verdict.planned)}")
    if verdict.detected is not None:
        parts.append(f"found at {_box(verdict.detected)} as {verdict.label}")
    elif unjudged:
        parts.append("not judged: the detector does not know this kind of thing")
    else:
        parts.append("missing")
        if verdict.landed is not None:
            parts.append(f"a thing of this kind that belongs to no instance was found at {_box(verdict.landed)}")
    if verdict.iou is not None and not unjudged:
        parts.append(f"IoU {verdict.iou:.2f}")
    parts += [
        f"wrong {attribute.attribute}: wanted {attribute.wanted}, found {attribute.found}"
        for attribute in verdict.attributes
        if attribute.ok is False
    ]
    parts.append("accepted" if verdict.accepted else f"NOT accepted: {verdict.reason}")
    return "; ".join(parts)


def _box(box: Box) -> str:
    return ", ".join(f"{name} {value}" for name, value in on_grid(box).items())


def _same(a: Box, b: Box) -> bool:
    return all(abs(p - q) <= TOLERANCE for p, q in zip(a.xyxy(), b.xyxy(), strict=True))
