"""Other people's layout files, in and out.

| format | file | boxes by default |
|---|---|---|
| ``layout`` | ours, JSON or JSON Lines | named coordinates |
| ``official`` | InstanceDiffusion's JSON or JSON Lines | ``xywh`` pixels |
| ``lmd`` | LMD's text | ``xywh`` pixels of 512 x 512 |
| ``coco`` | COCO annotations | ``xywh`` pixels |

``read_one`` and ``read_any`` tell the format by content or take it as an argument. How a bbox is read is never
guessed: see ``boxes``.
"""

from diffusion.formats.boxes import BoxReading, clip_box
from diffusion.formats.draft import Reading
from diffusion.formats.files import FORMATS, ReadOptions, parse_each, parse_one, read_any, read_each, read_one
from diffusion.formats.official import to_official
from diffusion.formats.shapes import resample_points

__all__ = [
    "FORMATS",
    "BoxReading",
    "ReadOptions",
    "Reading",
    "clip_box",
    "parse_each",
    "parse_one",
    "read_any",
    "read_each",
    "read_one",
    "resample_points",
    "to_official",
]
