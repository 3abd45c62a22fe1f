"""In which coordinates a VLM writes its boxes: one table by model family, with sources, and nothing is guessed.

A VLM writes four bare numbers in the convention that it was trained on, whatever it is asked for; read in another one
they are plausible boxes in wrong places. So a model whose name tells no family needs its convention stated.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from diffusion.formats import BoxReading
from diffusion.layout import Box, LayoutError
from eval.detector import DetectorError

VARIABLE = "SCENEWRIGHT_VLM_BOXES"


@dataclass(frozen=True)
class Family:
    """Models whose names match, and how they write a box. Pixels are those of the picture as it is sent."""

    name: str
    models: str
    reading: BoxReading
    source: str


FAMILIES = (
    Family("qwen3-vl", r"qwen-?3(\.\d+)?-?vl", BoxReading("xyxy", "1000"), "QwenLM/Qwen3-VL, README and issue 1741"),
    Family("qwen2.5-vl", r"qwen-?2\.5-?vl", BoxReading("xyxy", "px"), "QwenLM/Qwen3-VL, issues 676 and 940"),
    Family("qwen2-vl", r"qwen-?2-?vl", BoxReading("xyxy", "1000"), "QwenLM/Qwen3-VL, issues 663 and 721"),
    Family("gemini", r"gemini", BoxReading("yxyx", "1000"), "Gemini API documentation, image understanding"),
    Family("internvl", r"internvl", BoxReading("xyxy", "1000"), "InternVL documentation, chat data format"),
    Family("glm-v", r"glm-?\d(\.\d+)?v", BoxReading("xyxy", "1000"), "zai-org/GLM-V, grounding"),
    Family("cogvlm", r"cogvlm", BoxReading("xyxy", "1000"), "CogVLM (Wang et al., 2023), grounding model"),
    Family("kimi-vl", r"kimi-?vl", BoxReading("xyxy", "norm"), "MoonshotAI/Kimi-VL, issue 56"),
    Family("llava", r"llava", BoxReading("xyxy", "norm"), "LLaVA-1.5 (Liu et al., 2023), appendix on region data"),
)

NOISE = 1e-6
"""Pixels."""

ORDER_IN_WORDS = {
    "xyxy": "[left, top, right, bottom]",
    "yxyx": "[top, left, bottom, right]",
    "xywh": "[left, top, width, height]",
    "cxcywh": "[centre x, centre y, width, height]",
}


def reading_for(model: str, stated: str | None = None) -> BoxReading:
    """How this model writes boxes: as ``stated`` (a reading such as xyxy-1000, or a family's name), else by its name.

    DetectorError for what is stated wrongly, and for a model whose name matches no family.
    """
    if stated is None:
        known = next((family for family in FAMILIES if re.search(family.models, model, re.IGNORECASE)), None)
        if known is None:
            raise DetectorError(
                f"in which coordinates {model} writes boxes is not known: set {VARIABLE} to a reading (such as "
                f"xyxy-1000, yxyx-1000, xyxy-norm, xywh in pixels) or a family ({_names()})",
                exit_code=2,
            )
        return known.reading
    named = next((family for family in FAMILIES if family.name == stated.lower()), None)
    if named is not None:
        return named.reading
    try:
        return BoxReading.parse(stated)
    except LayoutError as error:
        raise DetectorError(f"{VARIABLE}: {error}; or a family: {_names()}", exit_code=2) from error


def in_words(reading: BoxReading, width: int, height: int) -> str:
    """The convention as a VLM is told it, for a picture of width x height pixels as it is sent."""
    across = {
        "px": f"in pixels of this picture, which is {width} wide and {height} high",
        "norm": "as shares of the picture's width and height, from 0 to 1",
        "1000": "in thousandths of the picture's width and height, from 0 to 1000",
    }[reading.unit]
    return f"{ORDER_IN_WORDS[reading.order]}, {across}"


def to_box(values: Sequence[float], reading: BoxReading, width: int, height: int) -> Box:
    """The normalised box of four numbers; ValueError when it leaves the picture or has no area.

    Nothing is cut but what floating point arithmetic adds, as in 0.7 + 0.30000000000000004.
    """
    x0, y0, x1, y1 = reading.corners(values, width, height)
    how = f"read as {in_words(reading, width, height)}"
    if x0 >= x1 or y0 >= y1:
        raise ValueError(f"{_listed(values)}, {how}, has no area")
    if min(x0, y0) < -NOISE or x1 > width + NOISE or y1 > height + NOISE:
        raise ValueError(f"{_listed(values)}, {how}, leaves the picture")
    return Box(x0=max(x0 / width, 0.0), y0=max(y0 / height, 0.0), x1=min(x1 / width, 1.0), y1=min(y1 / height, 1.0))


def _names() -> str:
    return ", ".join(family.name for family in FAMILIES)


def _listed(values: Sequence[float]) -> str:
    return f"[{', '.join(f'{value:g}' for value in values)}]"
