"""The silhouettes of the tiny world: every kind as a few polygons in the unit square, painted back to front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""(N, 2) x, y; y down."""


class Paint(IntEnum):
    """What a pixel of a thing is painted with; the first three are tones of the thing's own colour."""

    CLEAR = 0
    BODY = 1
    LIGHT = 2
    SHADE = 3
    DARK = 4
    BROWN = 5
    PALE = 6
    LEAF = 7
    BEAK = 8
    PATTERN = 9
    OUTLINE = 10
    PART = 11


@dataclass(frozen=True)
class Shape:
    """``parts`` touch all four sides of the unit square. Round shapes are shaded like a sphere, others like a board."""

    parts: tuple[tuple[Paint, Points], ...]
    round: bool = False
    mirrored: bool = False
    """Whether it may face either way."""
    part: tuple[int, ...] = ()
    """Which of ``parts`` make up the part that may have a colour of its own."""


def _ellipse(cx: float, cy: float, rx: float, ry: float, start: float = 0.0, stop: float = 360.0) -> Points:
    angles = np.radians(np.linspace(start, stop, 48, endpoint=stop - start < 360))
    return np.stack([cx + rx * np.cos(angles), cy + ry * np.sin(angles)], axis=1)


def _points(*coordinates: float) -> Points:
    return np.array(coordinates, dtype=np.float64).reshape(-1, 2)


def _rectangle(x0: float, y0: float, x1: float, y1: float) -> Points:
    return _points(x0, y0, x1, y0, x1, y1, x0, y1)


def _smooth(*coordinates: float) -> Points:
    """A closed Catmull-Rom curve through the points."""
    p = _points(*coordinates)
    before, after, beyond = np.roll(p, 1, axis=0), np.roll(p, -1, axis=0), np.roll(p, -2, axis=0)
    t = np.linspace(0, 1, 8, endpoint=False)[:, None, None]
    curve = 0.5 * (
        2 * p
        + (after - before) * t
        + (2 * before - 5 * p + 4 * after - beyond) * t**2
        + (3 * p - before - 3 * after + beyond) * t**3
    )
    return curve.transpose(1, 0, 2).reshape(-1, 2)


def _stroke(width: float, *coordinates: float) -> Points:
    """A polyline of that width as one polygon."""
    p = _points(*coordinates)
    direction = np.gradient(p, axis=0)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    normal = np.stack([-direction[:, 1], direction[:, 0]], axis=1) * width / 2
    return np.concatenate([p + normal, (p - normal)[::-1]])


def _star() -> Points:
    angles = np.radians(np.arange(10) * 36 - 90)
    radius = np.where(np.arange(10) % 2 == 0, 1.0, 0.45)
    return np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)


def _heart() -> Points:
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([16 * np.sin(t) ** 3, -y], axis=1)


def _crescent() -> Points:
    outer = _ellipse(0.0, 0.0, 1.0, 1.0, 52, 308)
    inner = _ellipse(0.45, 0.0, 0.81, 0.81, 77, 283)
    return np.concatenate([outer, inner[::-1]])


def _petals() -> list[tuple[Paint, Points]]:
    petals = []
    for index, angle in enumerate(np.radians(np.arange(6) * 60 - 90)):
        centre = np.array([0.5 + 0.29 * np.cos(angle), 0.34 + 0.215 * np.sin(angle)])
        petals.append((Paint.BODY if index % 2 else Paint.LIGHT, _ellipse(centre[0], centre[1], 0.21, 0.155)))
    return petals


def _canopy() -> list[tuple[Paint, Points]]:
    """An umbrella's dome: four panels with scalloped lower edges."""
    panels = []
    for index in range(4):
        left, right = index / 4, (index + 1) / 4
        across = np.linspace(left, right, 14)
        lower = 0.56 - 0.07 * np.sin(np.pi * (across - left) * 4)
        bulge = np.linspace(0, 1, 16)

        def rib(x: float, bulge: Points = bulge) -> Points:
            angle = bulge * np.pi / 2
            return np.stack([0.5 + (x - 0.5) * np.sin(angle), 0.56 - 0.5 * np.cos(angle)], axis=1)

        outline = np.concatenate([rib(left), np.stack([across, lower], axis=1), rib(right)[::-1]])
        panels.append((Paint.BODY if index % 2 else Paint.LIGHT, outline))
    return panels


def _fitted(
    *parts: tuple[Paint, Points], round: bool = False, mirrored: bool = False, part: tuple[int, ...] = ()
) -> Shape:
    """The shape scaled so that its parts touch all four sides of the unit square."""
    every = np.concatenate([points for paint, points in parts if paint is not Paint.CLEAR])
    low, high = every.min(axis=0), every.max(axis=0)
    return Shape(tuple((paint, (points - low) / (high - low)) for paint, points in parts), round, mirrored, part)


def _wheel(cx: float) -> Sequence[tuple[Paint, Points]]:
    return (Paint.DARK, _ellipse(cx, 0.81, 0.1, 0.19)), (Paint.PALE, _ellipse(cx, 0.81, 0.036, 0.068))


SHAPES: dict[str, Shape] = {
    "ball": _fitted((Paint.BODY, _ellipse(0.5, 0.5, 0.5, 0.5)), round=True),
    "cube": _fitted(
        (Paint.BODY, _rectangle(0, 0.26, 0.74, 1)),
        (Paint.LIGHT, _points(0, 0.26, 0.26, 0, 1, 0, 0.74, 0.26)),
        (Paint.SHADE, _points(0.74, 0.26, 1, 0, 1, 0.74, 0.74, 1)),
        mirrored=True,
    ),
    "cone": _fitted(
        (Paint.BODY, np.concatenate([_points(0.5, 0), _ellipse(0.5, 0.88, 0.5, 0.12, 0, 180)])),
        (Paint.SHADE, np.concatenate([_points(0.5, 0), _ellipse(0.5, 0.88, 0.5, 0.12, 0, 75)])),
    ),
    "ring": _fitted(
        (Paint.BODY, _ellipse(0.5, 0.5, 0.5, 0.5)),
        (Paint.SHADE, _ellipse(0.5, 0.5, 0.33, 0.33)),
        (Paint.CLEAR, _ellipse(0.5, 0.51, 0.27, 0.27)),
    ),
    "star": _fitted((Paint.BODY, _star())),
    "heart": _fitted((Paint.BODY, _heart()), round=True),
    "tree": _fitted(
        (Paint.BROWN, _points(0.43, 0.6, 0.57, 0.6, 0.6, 0.94, 0.4, 0.94)),
        (Paint.SHADE, _ellipse(0.25, 0.5, 0.25, 0.21)),
        (Paint.SHADE, _ellipse(0.75, 0.5, 0.25, 0.21)),
        (Paint.BODY, _ellipse(0.5, 0.52, 0.27, 0.22)),
        (Paint.BODY, _ellipse(0.34, 0.28, 0.25, 0.2)),
        (Paint.BODY, _ellipse(0.67, 0.29, 0.24, 0.2)),
        (Paint.LIGHT, _ellipse(0.49, 0.18, 0.25, 0.18)),
        (Paint.BODY, _ellipse(0.5, 0.4, 0.3, 0.22)),
        part=(0,),
    ),
    "house": _fitted(
        (Paint.BODY, _rectangle(0.1, 0.42, 0.9, 1)),
        (Paint.SHADE, _points(0.5, 0, 1, 0.44, 1, 0.48, 0, 0.48, 0, 0.44)),
        (Paint.DARK, _rectangle(0.43, 0.7, 0.58, 1)),
        (Paint.PALE, _rectangle(0.19, 0.58, 0.33, 0.74)),
        (Paint.PALE, _rectangle(0.69, 0.58, 0.83, 0.74)),
        part=(1,),
    ),
    "car": _fitted(
        (Paint.BODY, _points(0.2, 0.42, 0.31, 0.05, 0.36, 0, 0.64, 0, 0.7, 0.05, 0.82, 0.42)),
        (
            Paint.BODY,
            _points(0.03, 0.44, 0.2, 0.37, 0.82, 0.37, 0.96, 0.46, 1, 0.56, 1, 0.76, 0.97, 0.8, 0.02, 0.8, 0, 0.7),
        ),
        (Paint.PALE, _points(0.3, 0.33, 0.37, 0.13, 0.46, 0.13, 0.46, 0.33)),
        (Paint.PALE, _points(0.55, 0.33, 0.55, 0.13, 0.63, 0.13, 0.7, 0.33)),
        (Paint.SHADE, _rectangle(0.01, 0.68, 0.99, 0.8)),
        *_wheel(0.24),
        *_wheel(0.76),
        mirrored=True,
    ),
    "boat": _fitted(
        (Paint.BROWN, _rectangle(0.44, 0, 0.49, 0.75)),
        (Paint.LIGHT, _points(0.5, 0.02, 0.93, 0.62, 0.5, 0.62)),
        (Paint.SHADE, _points(0.42, 0.12, 0.42, 0.62, 0.12, 0.62)),
        (Paint.BODY, _points(0, 0.7, 1, 0.7, 0.92, 0.86, 0.8, 1, 0.2, 1, 0.08, 0.86)),
        mirrored=True,
        part=(1, 2),
    ),
    "fish": _fitted(
        (Paint.SHADE, _points(0.7, 0.5, 0.96, 0.1, 1, 0.14, 0.91, 0.5, 1, 0.86, 0.96, 0.9)),
        (Paint.SHADE, _smooth(0.3, 0.14, 0.45, 0, 0.66, 0.06, 0.6, 0.3)),
        (Paint.SHADE, _smooth(0.36, 0.84, 0.5, 1, 0.62, 0.94, 0.58, 0.7)),
        (Paint.BODY, _smooth(0, 0.52, 0.1, 0.28, 0.34, 0.1, 0.6, 0.22, 0.84, 0.5, 0.6, 0.78, 0.34, 0.9, 0.1, 0.74)),
        (Paint.PALE, _ellipse(0.17, 0.4, 0.06, 0.09)),
        (Paint.DARK, _ellipse(0.165, 0.4, 0.034, 0.054)),
        mirrored=True,
    ),
    "bird": _fitted(
        (Paint.BEAK, _points(0, 0.3, 0.16, 0.2, 0.16, 0.38)),
        (Paint.BEAK, _stroke(0.035, 0.46, 0.8, 0.44, 1)),
        (Paint.BEAK, _stroke(0.035, 0.58, 0.8, 0.58, 1)),
        (Paint.SHADE, _points(0.7, 0.5, 0.96, 0.26, 1, 0.36, 0.97, 0.46, 0.8, 0.74)),
        (Paint.BODY, _smooth(0.14, 0.4, 0.3, 0.4, 0.55, 0.4, 0.78, 0.48, 0.84, 0.6, 0.66, 0.86, 0.42, 0.88, 0.22, 0.7)),
        (Paint.BODY, _ellipse(0.26, 0.26, 0.16, 0.23)),
        (Paint.SHADE, _smooth(0.4, 0.5, 0.6, 0.47, 0.9, 0.58, 0.66, 0.76, 0.46, 0.68)),
        (Paint.PALE, _ellipse(0.21, 0.23, 0.045, 0.06)),
        (Paint.DARK, _ellipse(0.205, 0.23, 0.027, 0.036)),
        mirrored=True,
    ),
    "cat": _fitted(
        (Paint.SHADE, _stroke(0.1, 0.6, 0.94, 0.76, 0.94, 0.86, 0.89, 0.91, 0.8, 0.9, 0.69, 0.91, 0.59, 0.96, 0.52)),
        (Paint.BODY, _smooth(0.3, 0.4, 0.58, 0.4, 0.72, 0.62, 0.8, 0.9, 0.72, 1, 0.16, 1, 0.08, 0.9, 0.18, 0.62)),
        (Paint.BODY, _points(0.08, 0.28, 0.1, 0, 0.36, 0.14)),
        (Paint.BODY, _points(0.8, 0.28, 0.78, 0, 0.52, 0.14)),
        (Paint.SHADE, _points(0.14, 0.2, 0.15, 0.07, 0.27, 0.14)),
        (Paint.SHADE, _points(0.74, 0.2, 0.73, 0.07, 0.61, 0.14)),
        (Paint.BODY, _ellipse(0.44, 0.31, 0.39, 0.21)),
        (Paint.LIGHT, _ellipse(0.44, 0.74, 0.14, 0.16)),
        (Paint.PALE, _ellipse(0.29, 0.28, 0.07, 0.055)),
        (Paint.PALE, _ellipse(0.59, 0.28, 0.07, 0.055)),
        (Paint.DARK, _ellipse(0.29, 0.28, 0.032, 0.045)),
        (Paint.DARK, _ellipse(0.59, 0.28, 0.032, 0.045)),
        (Paint.DARK, _points(0.39, 0.365, 0.49, 0.365, 0.44, 0.41)),
        mirrored=True,
    ),
    "flower": _fitted(
        (Paint.LEAF, _stroke(0.055, 0.5, 0.5, 0.49, 0.7, 0.5, 0.85, 0.5, 1)),
        (Paint.LEAF, _smooth(0.5, 0.93, 0.6, 0.8, 0.78, 0.76, 0.69, 0.88)),
        *_petals(),
        (Paint.BEAK, _ellipse(0.5, 0.34, 0.115, 0.086)),
        part=(-1,),
    ),
    "cup": _fitted(
        (Paint.SHADE, _ellipse(0.76, 0.5, 0.24, 0.27)),
        (Paint.CLEAR, _ellipse(0.76, 0.5, 0.14, 0.16)),
        (
            Paint.BODY,
            np.concatenate([_points(0, 0.12), _points(0.8, 0.12), _ellipse(0.4, 0.9, 0.32, 0.1, 0, 180)]),
        ),
        (Paint.LIGHT, _ellipse(0.4, 0.12, 0.4, 0.12)),
        (Paint.SHADE, _ellipse(0.4, 0.13, 0.34, 0.085)),
        mirrored=True,
    ),
    "mushroom": _fitted(
        (Paint.PALE, _smooth(0.4, 0.5, 0.6, 0.5, 0.6, 0.75, 0.66, 0.96, 0.5, 1, 0.34, 0.96, 0.4, 0.75)),
        (Paint.SHADE, _ellipse(0.5, 0.6, 0.46, 0.09)),
        (
            Paint.BODY,
            np.concatenate([_ellipse(0.5, 0.59, 0.5, 0.59, 180, 360), _ellipse(0.5, 0.59, 0.5, 0.07, 0, 180)]),
        ),
        part=(0,),
    ),
    "apple": _fitted(
        (
            Paint.BODY,
            _smooth(
                *(0.5, 0.28, 0.3, 0.19, 0.07, 0.3, 0, 0.56, 0.12, 0.85, 0.34, 1),
                *(0.5, 0.96, 0.66, 1, 0.88, 0.85, 1, 0.56, 0.93, 0.3, 0.7, 0.19),
            ),
        ),
        (Paint.BROWN, _stroke(0.065, 0.5, 0.32, 0.5, 0.16, 0.56, 0.02)),
        (Paint.LEAF, _smooth(0.54, 0.16, 0.64, 0.03, 0.84, 0, 0.74, 0.14)),
        round=True,
        mirrored=True,
    ),
    "moon": _fitted((Paint.BODY, _crescent()), mirrored=True),
    "umbrella": _fitted(
        (Paint.BROWN, _rectangle(0.485, 0, 0.515, 0.1)),
        (
            Paint.BROWN,
            _stroke(0.045, 0.5, 0.4, 0.5, 0.7, 0.5, 0.9, 0.515, 0.95, 0.56, 0.98, 0.62, 0.97, 0.65, 0.92, 0.65, 0.87),
        ),
        *_canopy(),
        mirrored=True,
    ),
    "balloon": _fitted(
        (Paint.DARK, _stroke(0.04, 0.5, 0.8, 0.47, 0.86, 0.53, 0.93, 0.5, 1)),
        (Paint.SHADE, _points(0.5, 0.74, 0.6, 0.83, 0.4, 0.83)),
        (Paint.BODY, _smooth(0.5, 0, 0.18, 0.09, 0, 0.33, 0.16, 0.6, 0.5, 0.79, 0.84, 0.6, 1, 0.33, 0.82, 0.09)),
        round=True,
    ),
}
"""Kind -> silhouette, for every kind of ``vocabulary.KINDS``."""
