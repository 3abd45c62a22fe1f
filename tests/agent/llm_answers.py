"""What a scripted LLM answers in the tests, and a planner that asks it without waiting long."""

from __future__ import annotations

from typing import Any

import openai

from agent.llm import LLMPlanner
from agent.planner import Plan
from tests.agent.fake_openai_server import FakeOpenAI

openai.OpenAI(api_key="-")  # Loads the SDK and its certificates, a matter of seconds on a busy machine, once.

KEY = "sk-secret-0123456789abcdef"


def cup(number: int, x0: int, y0: int = 600, **changes: Any) -> dict[str, Any]:
    box = {"x0": x0, "y0": y0, "x1": x0 + 150, "y1": y0 + 200}
    return {
        "id": f"cup_{number}",
        "category": "cup",
        "caption": "a blue cup",
        "box": box,
        "depth": number,
        **changes,
    }


def answer(*instances: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "reasoning": {"ground": "a table", "sizes": "cups are small", "arrangement": "side by side"},
        "caption": "cups on a table",
        "background": "a kitchen",
        "negative_prompt": "",
        "instances": list(instances or (cup(1, 100), cup(2, 500))),
        "notes": [],
        **changes,
    }


GOOD = answer()


def planner(server: FakeOpenAI, **options: Any) -> LLMPlanner:
    options = {"backoff": 0.01, "timeout": 10.0, "api_key": KEY, **options}
    return LLMPlanner("fake", base_url=server.url, environ={}, **options)


def plan(server: FakeOpenAI, **options: Any) -> Plan:
    return planner(server, **options).plan("two blue cups", width=512, height=384, seed=7)
