"""The ways in which an LLM fails to give an answer, an error each; all of them end a command with exit code 4."""

from __future__ import annotations

from agent.planner import PlannerUnavailable


class LLMFailure(PlannerUnavailable):
    """The message names the server, what happened and what to do; it never holds the key.

    ``transient``: asking again may help. ``retry_after``: seconds that the server asks to wait, where it does.
    """

    transient = False

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unreachable(LLMFailure):
    """No connection, or one that broke off before the answer was complete."""

    transient = True


class ServerFailing(LLMFailure):
    """The server reports an error of its own (5xx), or answers with something that is no chat completion."""

    transient = True


class RateLimited(LLMFailure):
    """The server asks to come back later (429)."""

    transient = True


class AnswerEmpty(LLMFailure):
    """No choices, or a message without content."""

    transient = True


class OutOfTime(LLMFailure):
    """The deadline over all attempts has passed."""


class QuotaExhausted(LLMFailure):
    """The account has no credit left; waiting does not help."""


class RequestRejected(LLMFailure):
    """The server does not take the request: key, address, model or content (400, 401, 403, 404 and the like)."""


class QuestionTooLong(LLMFailure):
    """The question does not fit into what the model reads at once."""


class NotAChatServer(LLMFailure):
    """Whatever answers at that address speaks another protocol."""


class AnswerRefused(LLMFailure):
    """The model declines to answer."""


class AnswerFiltered(LLMFailure):
    """The server's content filter withheld the request or the answer."""


class AnswerCutOff(LLMFailure):
    """The answer reached the limit of its length, of so many tokens where the server counts them."""

    def __init__(self, message: str, tokens: int | None = None) -> None:
        super().__init__(message)
        self.tokens = tokens


class AnswerMisplaced(LLMFailure):
    """The model called a tool instead of answering, though none was offered."""


class AnswerInvalid(LLMFailure):
    """The model's answers stayed invalid after every correction; the message quotes the last problem."""
