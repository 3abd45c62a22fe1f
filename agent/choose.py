"""Which planner a run uses: the one asked for, or an LLM where one is configured and the offline planner elsewhere."""

from __future__ import annotations

import os
from collections.abc import Mapping

from agent.chat.endpoint import setting
from agent.llm import LLMPlanner
from agent.llm_cache import default_cache
from agent.planner import PlannerError, Reviser

PLANNERS = ("auto", "offline", "openai")


def choose_planner(
    name: str = "auto",
    *,
    model: str | None = None,
    base_url: str | None = None,
    timeout: float = 120.0,
    cached: bool = True,
    environ: Mapping[str, str] | None = None,
) -> tuple[Reviser, str]:
    """The planner, and one line that says which it is and why.

    "auto" takes the LLM when ``base_url``, OPENAI_BASE_URL or OPENAI_API_KEY is given, else the offline planner.
    ``cached``: plans that the LLM gave before are taken from the person's cache.
    PlannerError for an unknown name, or when what is configured for the LLM is incomplete.
    """
    env = os.environ if environ is None else environ
    if name not in PLANNERS:
        raise PlannerError(f"There is no planner {name!r}; choose one of {', '.join(PLANNERS)}.")
    reasons = [variable for variable in ("OPENAI_BASE_URL", "OPENAI_API_KEY") if setting(env, variable)]
    configured = bool(base_url or reasons)
    if name == "openai" or (name == "auto" and configured):
        cache = default_cache(env) if cached else None
        planner = LLMPlanner(model, base_url=base_url, timeout=timeout, cache=cache, environ=env)
        why = "" if name == "openai" or base_url else f" ({reasons[0]} is set)"
        return planner, f"Planner: {planner.chat.endpoint.model} at {planner.chat.endpoint.server}{why}."

    from agent.offline import OfflinePlanner

    why = "" if name == "offline" else ", without an LLM (neither OPENAI_API_KEY nor OPENAI_BASE_URL is set)"
    return OfflinePlanner(), f"Planner: offline{why}."
