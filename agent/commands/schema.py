"""``scenewright schema``: the JSON Schema of a plan."""

from __future__ import annotations

from agent.console import emit_json


def schema() -> None:
    """Print the JSON Schema of a plan, for editors, LLMs and validators."""
    from diffusion.layout import json_schema

    emit_json(json_schema())
