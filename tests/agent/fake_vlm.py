"""A VLM server that looks: it decodes the picture it is sent, finds things with the bundled detector, and answers in
the coordinates of a family, as a model of that family would."""

from __future__ import annotations

import base64
import functools
import io
import json
import re
from typing import Any

from PIL import Image

from diffusion.layout import Box
from eval.matching import same_noun
from eval.report import Detection
from eval.tiny_detector import TinyDetector
from tests.agent.fake_openai_server import Handler, Request, completion


@functools.cache
def tiny() -> TinyDetector:
    return TinyDetector.load()


def picture_of(request: Request) -> Image.Image:
    """The picture in the last question."""
    (part,) = (part for part in request.body["messages"][0]["content"] if part["type"] == "image_url")
    head, _, data = part["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def text_of(request: Request) -> str:
    (part,) = (part for part in request.body["messages"][0]["content"] if part["type"] == "text")
    return part["text"]


def looks(reading: str):
    """A step of the fake server: a VLM that writes boxes in this reading, such as xyxy-1000."""

    def step(handler: Handler, request: Request) -> None:
        picture = picture_of(request)
        asked = re.findall(r'^(\d+)\. ("(?:[^"\\]|\\.)*"): ', text_of(request), re.M)
        left = tiny().detect(picture)
        things = []
        for number, kind in asked:
            thing = next((one for one in left if same_noun(one.label, json.loads(kind))), None)
            if thing is not None:
                left.remove(thing)
            things.append({"number": int(number), **seen(thing, picture.size, reading)})
        kinds = [json.loads(kind) for _, kind in asked]
        further = [
            {"kind": kind, **seen(one, picture.size, reading)}
            for one in left
            for kind in dict.fromkeys(kinds)
            if same_noun(kind, one.label)
        ]
        body = completion(json.dumps({"things": things, "further": further}))
        handler.send(json.dumps(body).encode())

    return step


def seen(thing: Detection | None, size: tuple[int, int], reading: str) -> dict[str, Any]:
    if thing is None:
        return {"bbox_2d": [], "looks": None}
    look = {"colour": thing.colour, "texture": thing.texture, "material": "other"}
    numbers = written(thing.box, size, reading)
    whole = numbers if reading.endswith("-norm") else [round(number) for number in numbers]
    return {"bbox_2d": whole, "looks": look}


def written(box: Box, size: tuple[int, int], reading: str) -> list[float]:
    """The four numbers of a box in a reading, not rounded."""
    order, _, unit = reading.partition("-")
    across, down = {"": size, "norm": (1, 1), "1000": (1000, 1000)}[unit]
    x0, y0, x1, y1 = box.xyxy()
    x0, y0, x1, y1 = x0 * across, y0 * down, x1 * across, y1 * down
    return {
        "xyxy": [x0, y0, x1, y1],
        "yxyx": [y0, x0, y1, x1],
        "xywh": [x0, y0, x1 - x0, y1 - y0],
        "cxcywh": [(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0],
    }[order]
