"""``scenewright rate``: a VLM answers a rater's three questions on a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.commands import options
from agent.console import emit, emit_json


def rate(
    plan: options.PlanFile,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The picture of the plan.", show_default=False)],
    vlm_model: Annotated[
        str | None,
        typer.Option(
            "--vlm-model",
            metavar="NAME",
            help="The model to ask; SCENEWRIGHT_VLM_MODEL when not given.",
            show_default=False,
        ),
    ] = None,
    llm_timeout: options.LlmTimeout = 120.0,
    json: options.Json = False,
) -> None:
    """Let a VLM rate a picture, 1 to 5: does each thing fit the scene, quality of the things, sizes and arrangement."""
    from agent.chat.usage import Usage
    from agent.commands.plan_file import read_plan
    from agent.pictures import open_image
    from agent.rater import QUESTIONS, rate
    from agent.vlm import vlm_chat
    from prompts.texts import prompt

    layout = read_plan(plan)
    picture = open_image(image)
    chat = vlm_chat(vlm_model, way_out="ask a person")
    usage: Usage = {}
    marks = rate(chat, layout, picture, timeout=llm_timeout, usage=usage).to_dict()
    if json:
        rater = {"rater": chat.endpoint.model, "prompt_version": prompt("rate").version, "usage": usage}
        emit_json({**rater, "ratings": marks})
        return
    for name, words in QUESTIONS.items():
        emit(f"{words}: {marks[name]['score']} of 5: {marks[name]['reason']}")
    emit(f"rated by {chat.endpoint.model}, one answer")
