"""The LLM planner: any OpenAI-compatible server plans and replans, and hears what was wrong with an invalid plan."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from agent.chat.chat import Chat, Deadline
from agent.chat.dialogue import ask_until_valid
from agent.chat.endpoint import Endpoint
from agent.chat.traits import Message
from agent.chat.usage import Usage, add_usage
from agent.llm_cache import LLMCache, question_key
from agent.planner import Plan, PlannerError
from agent.replanning import accepted_ids, keep_what_must_stay, measured
from diffusion.layout import MAX_INSTANCES, SCHEMA_VERSION, Layout, LayoutError, layout_from_dict
from eval.report import FidelityReport
from prompts.answers import InvalidAnswer
from prompts.texts import prompt as prompt_text
from prompts.wire import read_answer, to_wire, wire_schema

DEFAULT_MODEL = "gpt-5.4-mini"
"""Used with OpenAI's own service only."""
MAX_DESCRIPTION = 20_000


class LLMPlanner:
    """A planner that asks ``model`` on the server at ``base_url``; what is not given, the environment says (Endpoint).

    ``timeout``: seconds for a whole plan or replan, over all attempts and corrections. ``corrections``: how often an
    invalid plan goes back to the model. ``cache``: where valid plans are kept. Any number of threads may share it.
    PlannerError when the configuration is incomplete or malformed.
    """

    name = "openai"

    def __init__(
        self,
        model: str | None = None,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float = 120.0,
        corrections: int = 2,
        attempts: int = 5,
        backoff: float = 0.5,
        cache: LLMCache | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        endpoint = Endpoint.find(
            model, base_url=base_url, api_key=api_key, default_model=DEFAULT_MODEL, environ=environ
        )
        if not (timeout > 0 and corrections >= 0 and attempts >= 1 and backoff >= 0):
            raise PlannerError(
                f"timeout must be positive, corrections and backoff not negative, attempts at least 1 (got timeout "
                f"{timeout}, corrections {corrections}, attempts {attempts}, backoff {backoff})"
            )
        self.timeout, self.corrections, self.cache = timeout, corrections, cache
        self.chat = Chat(endpoint, attempts, backoff, memory=cache)
        self.usage: Usage = {}
        self._adding = threading.Lock()

    def plan(self, prompt: str, *, width: int, height: int, seed: int) -> Plan:
        """A plan of the scene. As repeatable as the server: the seed is passed on where it takes one."""
        _check_description(prompt)
        _check_canvas(width, height)

        def read(text: str) -> Plan:
            answer = read_answer(text, width=width, height=height)
            return Plan(answer.layout, answer.notes)

        return self._converse("plan", {"description": prompt.strip()}, (width, height), seed, read)

    def revise(self, prompt: str, layout: Layout, remarks: Sequence[str], *, seed: int) -> Plan:
        """A plan corrected after remarks on it, a line each, before anything was drawn."""
        _check_description(prompt)

        def read(text: str) -> Plan:
            answer = read_answer(text, width=layout.width, height=layout.height)
            return Plan(answer.layout, answer.notes)

        values = {
            "description": prompt.strip(),
            "plan": json.dumps(to_wire(layout), ensure_ascii=False),
            "findings": "\n".join(f"- {remark}" for remark in remarks),
        }
        return self._converse("revise", values, (layout.width, layout.height), seed, read)

    def replan(self, prompt: str, layout: Layout, report: FidelityReport, *, round_number: int, seed: int) -> Plan:
        """A corrected plan; another initial noise is asked for when the model leaves every instance as it was."""
        _check_description(prompt)
        accepted = accepted_ids(layout, report)

        def read(text: str) -> Plan:
            answer = read_answer(text, width=layout.width, height=layout.height)
            corrected, notes = keep_what_must_stay(layout, answer.layout, accepted)
            return Plan(corrected, answer.notes + notes, new_seed=corrected.instances == layout.instances)

        values = {
            "description": prompt.strip(),
            "round_number": round_number,
            "plan": json.dumps(to_wire(layout), ensure_ascii=False),
            "detector": report.detector,
            "measured": measured(report),
            "accepted": ", ".join(accepted) or "none",
        }
        return self._converse("replan", values, (layout.width, layout.height), seed, read)

    def _converse(
        self,
        question: str,
        values: Mapping[str, object],
        size: tuple[int, int],
        seed: int,
        read: Callable[[str], Plan],
    ) -> Plan:
        """The plan in the first valid answer to the prompt named ``question``; from the cache when there is one."""
        width, height = size
        system = prompt_text("plan_system").render(width=width, height=height, max_instances=MAX_INSTANCES)
        messages: list[Message] = [
            {"role": "system", "content": system},
            {"role": "user", "content": prompt_text(question).render(**values)},
        ]
        schema = wire_schema()
        versions = {name: prompt_text(name).version for name in ("plan_system", question, "correct")}
        key = question_key(self.chat.endpoint, messages, schema=schema, prompts=versions, seed=seed)
        if (kept := self._kept(key, read)) is not None:
            return kept
        usage: Usage = {}
        try:
            plan, answer = ask_until_valid(
                self.chat,
                messages,
                read,
                schema=schema,
                seed=seed,
                deadline=Deadline(self.timeout),
                usage=usage,
                corrections=self.corrections,
            )
        finally:
            with self._adding:
                add_usage(self.usage, usage)
        if self.cache is not None:
            self.cache.remember_answer(key, answer)
        return replace(plan, usage=usage)

    def _kept(self, key: str, read: Callable[[str], Plan]) -> Plan | None:
        if self.cache is None or (answer := self.cache.recall_answer(key)) is None:
            return None
        try:
            return replace(read(answer), cached=True)
        except InvalidAnswer:
            self.cache.forget_answer(key)
            return None


def _check_description(description: str) -> None:
    if not description.strip():
        raise PlannerError("The description is empty: say what the picture shows.")
    if len(description) > MAX_DESCRIPTION:
        raise PlannerError(f"The description has {len(description)} characters; an LLM gets at most {MAX_DESCRIPTION}.")
    try:
        description.encode()
    except UnicodeEncodeError as error:
        raise PlannerError(f"The description is not valid Unicode at character {error.start}.") from error


def _check_canvas(width: int, height: int) -> None:
    empty = {"version": SCHEMA_VERSION, "caption": "canvas", "width": width, "height": height, "instances": []}
    try:
        layout_from_dict(empty, "canvas")
    except LayoutError as error:
        raise PlannerError(str(error)) from error
