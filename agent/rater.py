"""A VLM in the rater's place: three questions on a picture, 1 to 5 each, by the rubric in ``prompts/rate.txt``.

They are the questions of the student study that this project starts from: does each instance fit the scene, how good
are the instances, are sizes and arrangement right.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator

from agent.chat.chat import Chat, Deadline, user_message
from agent.chat.dialogue import ask_until_valid
from agent.chat.usage import Usage
from agent.vlm import as_sent, png
from diffusion.layout import Layout
from prompts.answers import Wire, read_object, schema_of
from prompts.texts import prompt as prompt_text

if TYPE_CHECKING:
    from PIL import Image

QUESTIONS = {
    "fit": "does each thing fit the scene",
    "quality": "quality of the things",
    "arrangement": "sizes and arrangement",
}


def _of_five(score: int) -> int:
    if not 1 <= score <= 5:
        raise ValueError("must be a whole number from 1 to 5")
    return score


class Mark(Wire):
    """The reason comes first, so that it is found before the score."""

    reason: str
    score: Annotated[int, AfterValidator(_of_five)]


class Rating(Wire):
    """One picture's marks."""

    fit: Mark
    quality: Mark
    arrangement: Mark

    def to_dict(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def rate(
    chat: Chat, layout: Layout, image: Image.Image, *, timeout: float = 120.0, usage: Usage | None = None
) -> Rating:
    """What the VLM says of the picture of a layout; an LLMFailure when it gives no valid answer."""
    things = "\n".join(f"- {json.dumps(instance.caption, ensure_ascii=False)}" for instance in layout)
    question = prompt_text("rate").render(
        caption=json.dumps(layout.caption, ensure_ascii=False), things=things or "- (nothing in particular)"
    )
    rating, _ = ask_until_valid(
        chat,
        [user_message(question, png(as_sent(image)))],
        lambda text: read_object(text, Rating, "rating"),
        schema=schema_of(Rating),
        seed=0,
        deadline=Deadline(timeout),
        usage={} if usage is None else usage,
    )
    return rating
