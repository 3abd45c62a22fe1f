"""Asking until the answer is valid: what is wrong with one goes back to the model, field by field, so many times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from agent.chat.chat import Chat, Deadline
from agent.chat.errors import AnswerInvalid, LLMFailure, OutOfTime
from agent.chat.traits import Message
from agent.chat.usage import Usage
from prompts.answers import InvalidAnswer, after_thinking
from prompts.texts import prompt as prompt_text

T = TypeVar("T")


LONGEST_QUOTE = 20_000
"""Characters of an invalid answer that go back to its model: one that repeated itself without end is cut."""


def ask_until_valid(
    chat: Chat,
    messages: list[Message],
    read: Callable[[str], T],
    *,
    schema: dict[str, Any],
    seed: int | None = None,
    deadline: Deadline,
    usage: Usage,
    corrections: int = 2,
) -> tuple[T, str]:
    """The first answer that ``read`` takes, as read and as text; at most ``corrections`` + 1 answers are asked for.

    ``read`` raises InvalidAnswer for what it cannot take. LLMFailure when there is no answer, AnswerInvalid when none
    was valid. The tokens of all of them are added to ``usage``. For an answer that is a pydantic model M::

        found, _ = ask_until_valid(chat, messages, lambda text: read_object(text, M, "boxes"), schema=schema_of(M), ...)
    """
    messages = list(messages)
    problem: InvalidAnswer | None = None
    for _ in range(corrections + 1):
        try:
            answer = chat.ask(messages, schema=schema, seed=seed, deadline=deadline, usage=usage)
        except OutOfTime as failure:
            raise _after(failure, problem) from None
        try:
            return read(answer), answer
        except InvalidAnswer as error:
            problem = error
            messages += [
                {"role": "assistant", "content": after_thinking(answer)[:LONGEST_QUOTE] or "(no answer)"},
                {"role": "user", "content": prompt_text("correct").render(problems=error)},
            ]
    raise AnswerInvalid(
        f"{chat.endpoint.model} gave no valid answer in {corrections + 1} tries. The last problem:\n{problem}\n"
        f"Use a more capable model, describe the scene more simply, or {chat.endpoint.names.way_out}."
    )


def _after(failure: LLMFailure, problem: InvalidAnswer | None) -> LLMFailure:
    return failure if problem is None else type(failure)(f"{failure} The last answer was not valid:\n{problem}")
