"""How two boxes overlap, for a planner and a critic that do without numpy. Boxes are normalised xyxy."""

from __future__ import annotations

from diffusion.layout import Box


def shared_area(a: Box, b: Box) -> float:
    """The area that two boxes share, as a share of the canvas."""
    return max(0.0, min(a.x1, b.x1) - max(a.x0, b.x0)) * max(0.0, min(a.y1, b.y1) - max(a.y0, b.y0))


def iou(a: Box, b: Box) -> float:
    """Intersection over union, in [0, 1]."""
    shared = shared_area(a, b)
    return shared / (a.area + b.area - shared)
