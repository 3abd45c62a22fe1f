"""``scenewright models``: what can draw here, and the words that the bundled model knows."""

from __future__ import annotations

from typing import Annotated

import typer

from agent.commands import options
from agent.console import emit, emit_json
from agent.exits import Stop


def models(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="tiny or sd15: more about that one.", show_default=False)
    ] = None,
    json: options.Json = False,
) -> None:
    """List the models; with the name tiny, the kinds, colours, textures and backgrounds it was trained on."""
    from dataclasses import asdict

    from agent.models import list_models
    from diffusion.tiny.vocabulary import BACKGROUNDS, COLOURS, KINDS, TEXTURES

    entries = {entry.name: entry for entry in list_models()}
    if name is None:
        if json:
            emit_json([asdict(entry) for entry in entries.values()])
        for entry in () if json else entries.values():
            state = "ready" if entry.available else "not here"
            emit(f"{entry.name:6}{state:10}{entry.what}\n{'':16}{entry.advice or entry.where}")
        return
    if name not in entries:
        raise Stop(f"there is no model {name!r}; there are: {', '.join(entries)}")
    described = asdict(entries[name])
    if name == "tiny":
        described |= {
            "kinds": {kind: list(entry.synonyms) for kind, entry in KINDS.items()},
            "colours": list(COLOURS),
            "textures": list(TEXTURES),
            "backgrounds": list(BACKGROUNDS),
        }
    if json:
        emit_json(described)
        return
    for key, value in described.items():
        if value not in ("", None):
            emit(f"{key:12}{_in_words(value)}")


def _in_words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{word} ({', '.join(more)})" if more else word for word, more in value.items())
    if isinstance(value, tuple):
        return " x ".join(str(part) for part in value) + " pixels"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else str(value)
