"""What an OpenAI-compatible server sent, read: the answer's text, or the failure that it is, with advice."""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from agent.chat import errors
from agent.chat.endpoint import Endpoint
from agent.chat.usage import Usage, add_usage

if TYPE_CHECKING:
    import openai

_NAMES_CONTEXT = re.compile(
    r"context.{0,20}(length|window|size)|exceed\w*.{0,40}context|(prompt|input|request).{0,20}too (long|large)", re.I
)


def read_completion(body: str, endpoint: Endpoint, usage: Usage) -> str:
    """The text of a chat completion, never blank; an LLMFailure of its own kind for everything else.

    Its tokens, and their cost where the price is configured, are added to ``usage``, also when it is a failure.
    """
    model, server, way_out = endpoint.model, endpoint.server, endpoint.names.way_out
    try:
        completion = _Completion.model_validate_json(body)
    except ValidationError:
        if body.lstrip()[:1] not in ("{", ""):
            raise errors.NotAChatServer(
                f"{server} answers with something that is no chat completion ({endpoint.quote(body)}). "
                f"Check {endpoint.names.base_url[0]}; it usually ends in /v1."
            ) from None
        raise errors.ServerFailing(f"{server} sent a malformed chat completion.") from None
    used = _Usage.lenient(completion.usage)
    add_usage(usage, used.counts(endpoint))
    if not completion.choices:
        if completion.error:
            raise errors.ServerFailing(f"{server} reports an error ({endpoint.quote(str(completion.error))}).")
        raise errors.AnswerEmpty(f"{server} answered without a choice. Try again or use another model.")
    choice = completion.choices[0]
    message, text = choice.message, choice.message.text()
    if choice.error or choice.finish_reason == "error":
        raise errors.ServerFailing(f"{server} broke the answer off ({endpoint.quote(str(choice.error))}).")
    if message.refusal:
        raise errors.AnswerRefused(
            f"{model} declines ({endpoint.quote(message.refusal)}). Describe the scene differently, or {way_out}."
        )
    if choice.finish_reason == "content_filter":
        raise _filtered(endpoint)
    if choice.finish_reason == "length":
        raise errors.AnswerCutOff(
            f"The answer of {model} was cut off at its greatest length. Describe fewer things, "
            "or use a model or server setting that allows longer answers.",
            used.completion_tokens,
        )
    if not text.strip() and (message.tool_calls or message.function_call):
        raise errors.AnswerMisplaced(
            f"{model} called a tool instead of answering, though none was offered. Use another model, "
            "or switch off tools on the server."
        )
    if not text.strip():
        thought = " after its thoughts" if message.reasoning_content or message.reasoning else ""
        raise errors.AnswerEmpty(f"{model} gave an empty answer{thought}. Try again or use another model.")
    return text


def status_failure(error: openai.APIStatusError, endpoint: Endpoint) -> errors.LLMFailure:
    """The failure that a status of 400 or more means."""
    server, names = endpoint.server, endpoint.names
    status, code = error.status_code, f"{error.code} {error.type}"
    said = endpoint.quote(words_of(error))
    if status == 402 or "insufficient_quota" in code:
        return errors.QuotaExhausted(
            f"{server}: the account has no credit left ({status}: {said}). Add credit or use another key."
        )
    if "content_filter" in code or "content_policy" in code:
        return _filtered(endpoint)
    if status == 429:
        return errors.RateLimited(f"{server} limits the rate of requests ({said}).", _retry_after(error))
    if "context_length" in code or (status in (400, 413, 422, 500) and _NAMES_CONTEXT.search(said)):
        return errors.QuestionTooLong(
            f"The question is longer than {endpoint.model} reads on {server} ({status}: {said}). Shorten the "
            "description, or give the server's model a context of 8192 tokens or more."
        )
    if status >= 500 or status in (408, 409, 425) or "json_validate_failed" in code:
        return errors.ServerFailing(f"{server} fails ({status}: {said}).", _retry_after(error))
    if status in (401, 403):
        key = names.api_key[0]
        advice = f"Check {key}." if endpoint.api_key else f"It wants a key: set {key}."
        return errors.RequestRejected(f"{server} denies access ({status}: {said}). {advice}")
    if status == 404:
        return errors.RequestRejected(
            f"{server} does not know the model {endpoint.model!r} or the address ({status}: {said}). "
            f"Check {names.model[0]}, and {names.base_url[0]}, which usually ends in /v1."
        )
    return errors.RequestRejected(
        f"{server} rejects the request ({status}: {said}). Shorten the description or use another model."
    )


def connection_failure(error: openai.APIConnectionError, endpoint: Endpoint) -> errors.LLMFailure:
    """The failure of a request that got no answer."""
    cause = endpoint.quote(str(error.__cause__ or error)) or type(error.__cause__).__name__
    return errors.Unreachable(
        f"{endpoint.server} cannot be reached ({cause}). Check the network, {endpoint.names.base_url[0]} and that the "
        "server runs."
    )


def words_of(error: openai.APIStatusError) -> str:
    """What the server said about its refusal."""
    body = error.body
    if isinstance(body, dict):
        return str(body.get("message") or body.get("detail") or body.get("error") or body)
    return str(body or error.response.reason_phrase)


def _filtered(endpoint: Endpoint) -> errors.AnswerFiltered:
    return errors.AnswerFiltered(
        f"The content filter of {endpoint.server} withheld the answer. Describe the scene differently, "
        f"or {endpoint.names.way_out}."
    )


def _retry_after(error: openai.APIStatusError) -> float | None:
    """Seconds from the Retry-After header, which holds seconds or a date; None without one that can be read."""
    headers = error.response.headers
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        value = headers.get("retry-after", "")
        if re.fullmatch(r"\s*\d+(\.\d+)?\s*", value):
            return float(value)
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time()) if value else None
    except (ValueError, OverflowError):
        return None


class _Message(BaseModel):
    content: str | list[Any] | None = None
    refusal: str | None = None
    tool_calls: list[Any] | None = None
    function_call: Any = None
    reasoning: Any = None
    reasoning_content: Any = None

    def text(self) -> str:
        """The content; the text parts of one that comes in parts."""
        if not isinstance(self.content, list):
            return self.content or ""
        parts = [part for part in self.content if isinstance(part, dict) and isinstance(part.get("text"), str)]
        return "".join(part["text"] for part in parts if part.get("type", "text") in ("text", "output_text"))


class _Choice(BaseModel):
    message: _Message = _Message()
    finish_reason: str | None = None
    error: Any = None


Count = Annotated[int, Field(ge=0)]


class _TokenDetails(BaseModel):
    cached_tokens: Count | None = None


class _Usage(BaseModel):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    prompt_tokens_details: _TokenDetails | None = None

    @classmethod
    def lenient(cls, told: Any) -> _Usage:
        """Empty where the server tells nothing that can be read: an answer is worth more than its count."""
        try:
            return cls.model_validate(told or {})
        except ValidationError:
            return cls()

    def counts(self, endpoint: Endpoint) -> Usage:
        if self.prompt_tokens is None and self.completion_tokens is None:
            return {}
        read, written = self.prompt_tokens or 0, self.completion_tokens or 0
        counts: Usage = {"input_tokens": read, "output_tokens": written}
        if endpoint.price is not None:
            details = self.prompt_tokens_details or _TokenDetails()
            counts["cost"] = endpoint.price.cost(read, written, details.cached_tokens or 0)
        return counts


class _Completion(BaseModel):
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None
