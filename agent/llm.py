"""The LLM planner: any OpenAI-compatible server plans and replans, and hears what was wrong with an invalid plan."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from agent.chat import OPENAI_URL, Chat, Deadline, Message
from agent.chat_errors import LLMFailure, OutOfTime, PlanInvalid
from agent.planner import Plan, PlannerError
from agent.replanning import accepted_ids, keep_what_must_stay, measured
from diffusion.layout import MAX_INSTANCES, SCHEMA_VERSION, Layout, LayoutError, layout_from_dict
from eval.report import FidelityReport
from prompts.texts import prompt as prompt_text
from prompts.wire import after_thinking, read_answer, to_wire, wire_schema

DEFAULT_MODEL = "gpt-5.4-mini"
"""Used with OpenAI's own service only; another server's models can't be guessed."""
MAX_DESCRIPTION = 20_000


class LLMPlanner:
    """A planner that asks ``model`` on the server at ``base_url``.

    What is not given comes from the environment: SCENEWRIGHT_MODEL or OPENAI_MODEL, OPENAI_BASE_URL, OPENAI_API_KEY.
    A base URL without a key is fine (local servers); without a base URL, OpenAI's service and a default model are used.
    ``timeout``: seconds for a whole plan or replan, over all attempts and corrections. ``corrections``: how often an
    invalid plan goes back to the model. PlannerError when the configuration is incomplete or malformed.
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
        environ: Mapping[str, str] | None = None,
    ) -> None:
        env = os.environ if environ is None else environ
        base_url = base_url or setting(env, "OPENAI_BASE_URL")
        api_key = _checked_key(api_key or setting(env, "OPENAI_API_KEY"))
        model = model or setting(env, "SCENEWRIGHT_MODEL") or setting(env, "OPENAI_MODEL")
        if base_url is None and api_key is None:
            raise PlannerError(
                "The LLM planner needs a server: set OPENAI_API_KEY for OpenAI's service, or OPENAI_BASE_URL for "
                "another one (such as http://localhost:8080/v1). The offline planner needs neither."
            )
        if model is None and base_url is not None:
            raise PlannerError(
                "No model is given for the server of OPENAI_BASE_URL: set SCENEWRIGHT_MODEL (or OPENAI_MODEL) to the "
                "name of one that it serves."
            )
        if not (timeout > 0 and corrections >= 0 and attempts >= 1 and backoff >= 0):
            raise PlannerError(
                f"timeout must be positive, corrections and backoff not negative, attempts at least 1 (got timeout "
                f"{timeout}, corrections {corrections}, attempts {attempts}, backoff {backoff})"
            )
        self.timeout, self.corrections = timeout, corrections
        self.chat = Chat(model or DEFAULT_MODEL, _checked_url(base_url or OPENAI_URL), api_key, attempts, backoff)

    def plan(self, prompt: str, *, width: int, height: int, seed: int) -> Plan:
        """A plan of the scene. As repeatable as the server: the seed is passed on where it takes one."""
        _check_description(prompt)
        _check_canvas(width, height)

        def read(text: str) -> Plan:
            answer = read_answer(text, width=width, height=height)
            return Plan(answer.layout, answer.notes)

        question = prompt_text("plan").render(description=prompt.strip())
        return self._converse(question, width, height, seed, read)

    def replan(self, prompt: str, layout: Layout, report: FidelityReport, *, round_number: int, seed: int) -> Plan:
        """A corrected plan; another initial noise is asked for when the model leaves every instance as it was."""
        _check_description(prompt)
        accepted = accepted_ids(layout, report)

        def read(text: str) -> Plan:
            answer = read_answer(text, width=layout.width, height=layout.height)
            corrected, notes = keep_what_must_stay(layout, answer.layout, accepted)
            return Plan(corrected, answer.notes + notes, new_seed=corrected.instances == layout.instances)

        question = prompt_text("replan").render(
            description=prompt.strip(),
            round_number=round_number,
            plan=json.dumps(to_wire(layout), ensure_ascii=False),
            detector=report.detector,
            measured=measured(report),
            accepted=", ".join(accepted) or "none",
        )
        return self._converse(question, layout.width, layout.height, seed, read)

    def _converse(self, question: str, width: int, height: int, seed: int, read: Callable[[str], Plan]) -> Plan:
        """The first answer that ``read`` takes; a LayoutError of its own goes back as the next message."""
        deadline = Deadline(self.timeout)
        system = prompt_text("plan_system").render(width=width, height=height, max_instances=MAX_INSTANCES)
        messages: list[Message] = [{"role": "system", "content": system}, {"role": "user", "content": question}]
        schema, usage = wire_schema(), dict[str, int]()
        problem: LayoutError | None = None
        for _ in range(self.corrections + 1):
            try:
                answer = self.chat.ask(messages, schema=schema, seed=seed, deadline=deadline, usage=usage)
            except OutOfTime as failure:
                raise _after(failure, problem) from None
            try:
                plan = read(answer)
            except LayoutError as error:
                problem = error
                messages += [
                    {"role": "assistant", "content": after_thinking(answer)},
                    {"role": "user", "content": prompt_text("correct").render(problems=error)},
                ]
            else:
                return Plan(plan.layout, plan.notes, usage, plan.new_seed)
        raise PlanInvalid(
            f"{self.chat.model} gave no valid plan in {self.corrections + 1} answers. The last problem:\n{problem}\n"
            "Use a more capable model, describe the scene more simply, or use the offline planner."
        )


def setting(environ: Mapping[str, str], name: str) -> str | None:
    """A variable of the environment; None when it is unset or blank."""
    return environ.get(name, "").strip() or None


def _after(failure: LLMFailure, problem: LayoutError | None) -> LLMFailure:
    return failure if problem is None else type(failure)(f"{failure} The last answer was not valid:\n{problem}")


def _checked_key(key: str | None) -> str | None:
    if key is not None and not all("!" <= character <= "~" for character in key):
        raise PlannerError("OPENAI_API_KEY holds spaces or other characters that no key has: copy it again.")
    return key


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise PlannerError("OPENAI_BASE_URL is not a web address such as http://localhost:8080/v1")
    return url


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
