"""Which words of a plan the bundled model was never trained on: it must not pretend to draw them."""

from __future__ import annotations

from dataclasses import dataclass

from diffusion.layout import Instance, Layout
from diffusion.tiny import vocabulary


@dataclass(frozen=True)
class Gaps:
    """What the tiny model knows nothing of: whole objects, single words of objects it can draw, and the background."""

    objects: tuple[Instance, ...]
    words: tuple[tuple[Instance, tuple[str, ...]], ...]
    background: str | None

    def notes(self) -> list[str]:
        """Lines for the person about what the picture will lack although it is drawn."""
        lines = [
            f"{instance.id}: the bundled model does not know {_quoted(words)}; it is neither drawn nor judged"
            for instance, words in self.words
        ]
        if self.background is not None:
            lines.append(f"the bundled model does not know the background {self.background!r}; it is not judged")
        return lines


def tiny_gaps(layout: Layout) -> Gaps:
    """Compares a plan with the vocabulary of the tiny world."""
    objects: list[Instance] = []
    words: list[tuple[Instance, tuple[str, ...]]] = []
    for instance in layout:
        asked = vocabulary.describe(instance.caption)
        if asked.kind is None and vocabulary.canonical_kind(instance.category) is None:
            objects.append(instance)
        elif asked.unknown_words:
            words.append((instance, asked.unknown_words))
    background = layout.background if layout.background.strip() else None
    known = background is None or vocabulary.background_of(background) is not None
    return Gaps(tuple(objects), tuple(words), None if known else background)


def surprises(layout: Layout, model: str) -> list[str]:
    """What a person should know before a plan is drawn as it is: another canvas, and words new to the bundled model."""
    from agent.models import native_size

    lines, native = [], native_size(model)
    if (layout.width, layout.height) != native:
        lines.append(
            f"the plan's canvas is {layout.width} x {layout.height} pixels; "
            f"the model {model} was trained at {native[0]} x {native[1]}"
        )
    if model == "tiny":
        gaps = tiny_gaps(layout)
        lines += [
            f"{instance.id}: the bundled model was never trained on {instance.caption!r}: --model sd15 draws it"
            for instance in gaps.objects
        ]
        lines += gaps.notes()
    return lines


def refusal(gaps: Gaps, command: str) -> str:
    """Why ``generate`` stops before drawing, and which command draws these objects."""
    names = "\n".join(f"{instance.id}: {instance.caption}" for instance in gaps.objects)
    return (
        f"the bundled model was never trained on\n{names}\n"
        f"the big model draws any words: {command}\n"
        "scenewright models tiny lists what the bundled one knows; --anyway draws with it nonetheless"
    )


def _quoted(words: tuple[str, ...]) -> str:
    return ", ".join(repr(word) for word in words)
