"""A VLM as the detector: an OpenAI-compatible server gets a picture and a list of things, and answers with boxes."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from agent.chat.chat import Chat, Deadline, user_message
from agent.chat.dialogue import ask_until_valid
from agent.chat.endpoint import Endpoint, Names, setting
from agent.chat.usage import Usage
from agent.vlm_boxes import VARIABLE, in_words, reading_for, to_box
from diffusion.formats import BoxReading
from diffusion.tiny.vocabulary import TEXTURES
from eval.attributes import COLOUR_WORDS, MATERIALS, Palette
from eval.detector import Detector, Query
from eval.report import Detection
from prompts.answers import InvalidAnswer, Wire, read_object, schema_of
from prompts.texts import prompt as prompt_text

if TYPE_CHECKING:
    from PIL import Image

SOURCE = "boxes"
GRID = 28
"""Sides are sent as multiples of it: Qwen2.5-VL makes them so, and then writes boxes in pixels of what it made."""
SHORTEST, LARGEST = 448, 1_003_520
"""Pixels of the shorter side, and of the whole picture, that are sent: below and above them servers resize again."""

PALETTE: dict[str, tuple[str, ...]] = {
    "colour": (*COLOUR_WORDS, "grey", "other"),
    "texture": (*TEXTURES, "other"),
    "material": (*MATERIALS, "other"),
}


class Looks(Wire):
    """How a thing looks in the picture, whatever the list says."""

    colour: Annotated[str, AfterValidator(lambda word: _one_of("colour", word))]
    texture: Annotated[str, AfterValidator(lambda word: _one_of("texture", word))]
    material: Annotated[str, AfterValidator(lambda word: _one_of("material", word))]


class Listed(Wire):
    """One thing of the list. ``bbox_2d`` is empty when it is not in the picture."""

    number: int
    bbox_2d: list[float]
    looks: Looks | None


class Further(Wire):
    """A thing of a listed kind beyond those of the list."""

    kind: str
    bbox_2d: list[float]
    looks: Looks


class Grounding(Wire):
    """What the VLM answers."""

    things: Annotated[list[Listed], Field(description="every thing of the list, in its order")]
    further: Annotated[list[Further], Field(description="things of the same kinds that are not on the list")]


class VlmDetector(Detector):
    """Asks a VLM where things are and how they look. A VLM tells no confidence: every score is 1.

    ``model``: the server's name for it; from SCENEWRIGHT_VLM_MODEL when not given. How it writes boxes follows from the
    name or SCENEWRIGHT_VLM_BOXES (see ``vlm_boxes``). An answer that leaves the picture goes back to the VLM, with
    what is wrong, ``corrections`` times; then it is an error (AnswerInvalid).
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        timeout: float = 120.0,
        corrections: int = 2,
        attempts: int = 5,
        backoff: float = 0.5,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        env = os.environ if environ is None else environ
        self.chat = vlm_chat(model, attempts=attempts, backoff=backoff, environ=env)
        self.reading = reading_for(self.chat.endpoint.model, setting(env, VARIABLE))
        self.name = f"{self.chat.endpoint.model} (VLM, boxes {self.reading})"
        self.usage: Usage = {}
        self._timeout, self._corrections = timeout, corrections

    def palette(self) -> Palette:
        return {attribute: frozenset(words) - {"other"} for attribute, words in PALETTE.items()}

    def detect_batch(self, images: Sequence[Image.Image], queries: Sequence[Sequence[Query]]) -> list[list[Detection]]:
        return [self._detect(image, list(asked)) for image, asked in zip(images, queries, strict=True)]

    def _detect(self, image: Image.Image, queries: list[Query]) -> list[Detection]:
        if not queries:
            return []
        sent = as_sent(image)
        question = prompt_text("ground").render(
            things="\n".join(
                f"{number}. {json.dumps(query.category, ensure_ascii=False)}: "
                f"{json.dumps(query.caption or query.category, ensure_ascii=False)}"
                for number, query in enumerate(queries, start=1)
            ),
            coordinates=in_words(self.reading, *sent.size),
            **{attribute: ", ".join(words) for attribute, words in PALETTE.items()},
        )
        found, _ = ask_until_valid(
            self.chat,
            [user_message(question, png(sent))],
            lambda text: _read(text, queries, self.reading, sent.size),
            schema=schema_of(Grounding),
            seed=0,
            deadline=Deadline(self._timeout),
            usage=self.usage,
            corrections=self._corrections,
        )
        return found


def vlm_chat(
    model: str | None,
    *,
    way_out: str = "use a detector that runs here",
    attempts: int = 5,
    backoff: float = 0.5,
    environ: Mapping[str, str] | None = None,
) -> Chat:
    """The VLM that is configured: on a server of its own (SCENEWRIGHT_VLM_BASE_URL, with its own key), or the LLM's.

    way_out: what else a person can do, for messages.
    """
    env = os.environ if environ is None else environ
    url, key = "SCENEWRIGHT_VLM_BASE_URL", "SCENEWRIGHT_VLM_API_KEY"
    # The key of one service is never sent to another.
    own = setting(env, url) is not None
    names = Names(
        who="The VLM",
        model=("SCENEWRIGHT_VLM_MODEL",),
        base_url=(url,) if own else (url, "OPENAI_BASE_URL"),
        api_key=(key,) if own else (key, "OPENAI_API_KEY"),
        way_out=way_out,
    )
    return Chat(Endpoint.find(model, names=names, environ=env), attempts, backoff)


def as_sent(image: Image.Image) -> Image.Image:
    """The picture in a size that servers leave as it is."""
    from PIL import Image

    return image.convert("RGB").resize(sent_size(*image.size), Image.Resampling.LANCZOS)


def sent_size(width: int, height: int) -> tuple[int, int]:
    """Sides in multiples of 28, neither too small nor too large, in about the shape of width x height."""
    factor = max(1.0, SHORTEST / min(width, height))
    factor = min(factor, math.sqrt(LARGEST / (width * height)))
    across, down = (max(GRID, int(side * factor / GRID) * GRID) for side in (width, height))
    return across, down


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _read(text: str, queries: list[Query], reading: BoxReading, size: tuple[int, int]) -> list[Detection]:
    """The detections of an answer; InvalidAnswer names each field that is wrong."""
    answer = read_object(text, Grounding, SOURCE)
    numbers = [thing.number for thing in answer.things]
    if numbers != list(range(1, len(queries) + 1)):
        raise InvalidAnswer(f"{SOURCE}: things: numbered {numbers}; expected 1 to {len(queries)}, each once, in order")
    kinds = {query.category.lower(): query.category for query in queries}
    found, problems = [], []
    for number, (thing, query) in enumerate(zip(answer.things, queries, strict=True)):
        path = f"{SOURCE}: things[{number}]"
        if not thing.bbox_2d and thing.looks is None:
            continue
        if thing.looks is None:
            problems.append(f"{path}.looks: null with a box; expected colour, texture and material")
            continue
        found.append((path, thing.bbox_2d, query.category, thing.looks))
    for number, extra in enumerate(answer.further):
        path = f"{SOURCE}: further[{number}]"
        if extra.kind.lower() not in kinds:
            problems.append(f"{path}.kind = {extra.kind!r}: expected one of {', '.join(kinds.values())}")
            continue
        found.append((path, extra.bbox_2d, kinds[extra.kind.lower()], extra.looks))
    detections = []
    for path, values, label, looks in found:
        try:
            if len(values) != 4:
                raise ValueError(f"{len(values)} numbers; expected 4")
            box = to_box(values, reading, *size)
        except ValueError as error:
            problems.append(f"{path}.bbox_2d: {error}")
        else:
            detections.append(Detection(box=box, label=label, score=1.0, **_told(looks)))
    if problems:
        raise InvalidAnswer("\n".join(problems))
    return detections


def _told(looks: Looks) -> dict[str, str]:
    return {attribute: word for attribute, word in looks.model_dump().items() if word != "other"}


def _one_of(attribute: str, word: str) -> str:
    if word not in PALETTE[attribute]:
        raise ValueError(f"must be one of {', '.join(PALETTE[attribute])}")
    return word
