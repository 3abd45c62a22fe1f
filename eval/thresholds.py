"""From which score on a detector's boxes count, and which of them are the same thing twice: one table, with sources."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """``report``: boxes with a lower score are not reported. ``confident``: from this score on a thing that nobody
    planned counts against the picture. ``nms_iou``: of two boxes that overlap more, only the better one is reported."""

    report: float
    confident: float
    nms_iou: float
    source: str


TINY = Thresholds(
    report=0.3,
    confident=0.5,
    nms_iou=0.6,
    source="report: where precision and recall balance (F1) on reconstructed pictures of the tiny world; confident and "
    "nms_iou: set by hand and not tuned; suppression looks across kinds here",
)
"""The bundled detectors'."""

_OWL = Thresholds(
    report=0.1,
    confident=0.2,
    nms_iou=0.5,
    source="report: the model cards of google/owlv2-* and the default of transformers; confident: the threshold for "
    "whole objects of Self-correcting LLM-controlled Diffusion (Wu et al., CVPR 2024; benchmark_config.ini); nms_iou: "
    "the OWL-ViT evaluation of LLM-grounded Diffusion (Lian et al., TMLR 2024; scripts/owl_vit_eval.py)",
)
_GROUNDING_DINO = Thresholds(
    report=0.25,
    confident=0.35,
    nms_iou=0.8,
    source="report: the default of transformers; confident: box_threshold of the example in Grounding DINO's README; "
    "nms_iou: the demo of Grounded-SAM (grounded_sam_simple_demo.py)",
)

THRESHOLDS: dict[str, Thresholds] = {
    "owlv2": _OWL,
    "owlvit": _OWL,
    "grounding-dino": _GROUNDING_DINO,
    "mm-grounding-dino": _GROUNDING_DINO,
}
"""By model type, as a model's config.json names it."""
