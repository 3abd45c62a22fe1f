"""``scenewright generate``: the whole loop, from a prompt to a checked picture."""

from __future__ import annotations

from agent.exits import Stop


def generate(prompt: str) -> None:
    """Plan, draw, check and replan until the picture is accepted or the rounds are used up."""
    raise Stop("not here yet")
