"""What a check found: detections, per-instance verdicts, and the FidelityReport that a replan quotes.

Boxes are normalised xyxy, origin top left, as in the Layout. No torch, no numpy.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from diffusion.layout import Box

Attribute = Literal["colour", "texture", "material"]
"""``texture`` is a pattern such as striped; ``material`` is what a thing seems made of."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Detection(_Record):
    """One thing a detector found: normalised xyxy box, label, confidence in [0, 1], attributes it can tell."""

    box: Box
    label: str
    score: Annotated[float, Field(ge=0.0, le=1.0)]
    colour: str | None = None
    texture: str | None = None
    material: str | None = None


class AttributeVerdict(_Record):
    """``ok`` is None when the plan asks for the attribute but the detector cannot judge it (unscored is not wrong)."""

    attribute: Attribute
    wanted: str
    found: str | None
    ok: bool | None


class InstanceVerdict(_Record):
    """One planned instance against the picture.

    ``iou`` is 0 when missing, and None when there is nothing to measure: the plan gives no box or mask, or the detector
    does not know the kind.
    """

    id: str
    category: str
    caption: str
    planned: Box | None
    detected: Box | None
    iou: float | None
    label: str | None
    score: float | None
    colour: str | None = None
    texture: str | None = None
    """What the detector says of the thing it found, as its label and score; None where it found or says nothing."""
    attributes: tuple[AttributeVerdict, ...] = ()
    landed: Box | None = None
    """For a missing instance, where a thing of its kind was found instead that matches no other (it is in
    ``unplanned`` too); else None."""
    accepted: bool
    reason: str
    """One line that quotes what was measured, e.g. 'IoU 0.31, at least 0.50 needed'; starts with 'ok' when accepted."""


class Roles(_Record):
    """Which detector checked the picture, and so decided about replanning and which round is best, and which one scored
    it. The numbers of the check stand here, those of the score in the report."""

    checked_with: str
    check_accepted: bool
    check_mean_iou: float | None
    scored_with: str
    note: str
    """One line that names both, and says so when it is one detector."""


class FidelityReport(_Record):
    """Image against plan. Every planned instance with an extent that can be judged is scored, missing ones with 0."""

    detector: str
    roles: Roles | None = None
    """None where detections were judged without a check, such as ones that were made elsewhere."""
    box_convention: Literal["normalised xyxy"] = "normalised xyxy"
    instances: tuple[InstanceVerdict, ...]
    unplanned: tuple[Detection, ...]
    """Every detection that matches no planned instance, the most confident first."""
    mean_iou: float | None
    """Mean of the instances' IoU, missing as 0; None when none is scored."""
    mean_iou_ci95: tuple[float, float] | None
    """95 % bootstrap interval over the instances; None when fewer than two are scored."""
    scored: int
    """The denominator of mean_iou and recall_50: instances planned with a box or a mask, of kinds the detector has."""
    recall_50: float | None
    unjudged: tuple[str, ...] = ()
    """Ids of instances whose category this detector does not know: not scored, never counted as found."""
    accepted: bool
    reasons: tuple[str, ...]
    """Why the picture is not accepted, a line each; empty when it is."""

    @property
    def rank(self) -> tuple[bool, int, float]:
        """What decides which picture of a scene is best: accepted, then the accepted instances, then the mean IoU."""
        accepted = sum(verdict.accepted for verdict in self.instances)
        return self.accepted, accepted, self.mean_iou or 0.0

    def detections(self) -> tuple[Detection, ...]:
        """Everything that the detector found, matched or not, the most confident first."""
        matched = [
            Detection(box=v.detected, label=v.label, score=v.score, colour=v.colour, texture=v.texture)
            for v in self.instances
            if v.detected is not None and v.label is not None and v.score is not None
        ]
        return tuple(sorted((*matched, *self.unplanned), key=lambda found: -found.score))

    def to_dict(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    def to_json(self, indent: int | None = 2) -> str:
        """As ``to_dict``; on one line when ``indent`` is None."""
        return self.model_dump_json(indent=indent)
