"""One question to an OpenAI-compatible server: retries, one deadline, and what the server takes, in one place."""

from __future__ import annotations

import ipaddress
import logging
import queue
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import tenacity
from pydantic import BaseModel, ValidationError

from agent import chat_errors as errors

if TYPE_CHECKING:
    import openai

log = logging.getLogger(__name__)
T = TypeVar("T")
Message = dict[str, str]

OPENAI_URL = "https://api.openai.com/v1"
NO_KEY = "no-key"
"""Sent where no key is configured: the SDK wants one, local servers ignore it."""
CONNECT_SECONDS = 10.0
LONGEST_BACKOFF = 20.0


class Deadline:
    """A point in time that every attempt, wait and correction shares."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        return self._end - time.monotonic()


@dataclass
class Chat:
    """A model on a server. It remembers what the server turned out not to take, so that each is tried once only."""

    model: str
    base_url: str = field(default=OPENAI_URL, repr=False)
    api_key: str | None = field(default=None, repr=False)
    attempts: int = 5
    backoff: float = 0.5
    """Seconds before the first retry; doubled for each further one, with jitter."""
    _client: openai.OpenAI | None = field(default=None, init=False, repr=False)
    _format: int = field(default=0, init=False)
    _seeded: bool = field(default=True, init=False)

    @property
    def server(self) -> str:
        """Host and port, without credentials."""
        parts = urlsplit(self.base_url)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)

    def ask(
        self,
        messages: list[Message],
        *,
        schema: dict[str, Any],
        seed: int,
        deadline: Deadline,
        usage: dict[str, int],
    ) -> str:
        """The model's answer, meant to follow ``schema``; an LLMFailure of its own kind for everything else.

        The tokens of every attempt are added to ``usage`` ("input_tokens", "output_tokens").
        """

        def give_up(state: tenacity.RetryCallState) -> str:
            failure = _failure_of(state)
            advice = f"Gave up after {state.attempt_number} attempts."
            if state.attempt_number < self.attempts:
                waiting = f"It asks to wait {failure.retry_after:.0f} s; no" if failure.retry_after else "No"
                advice = f"{waiting} more attempt fits into the {deadline.seconds:g} s allowed."
            raise type(failure)(f"{failure} {advice}")

        def announce(state: tenacity.RetryCallState) -> None:
            ahead = f"attempt {state.attempt_number + 1} of {self.attempts} in {state.upcoming_sleep:.1f} s"
            log.info("%s Next: %s.", _failure_of(state), ahead)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, errors.LLMFailure) and error.transient),
            wait=self._pause,
            stop=lambda state: state.attempt_number >= self.attempts or state.upcoming_sleep >= deadline.remaining(),
            before_sleep=announce,
            retry_error_callback=give_up,
        )
        return retrying(self._attempt, messages, schema, seed, deadline, usage)

    def _pause(self, state: tenacity.RetryCallState) -> float:
        wait = tenacity.wait_exponential(self.backoff, LONGEST_BACKOFF) + tenacity.wait_random(0, self.backoff)
        asked = _failure_of(state).retry_after
        return wait(state) if asked is None else asked

    def _attempt(
        self, messages: list[Message], schema: dict[str, Any], seed: int, deadline: Deadline, usage: dict[str, int]
    ) -> str:
        import openai

        formats = answer_formats(schema)
        while True:
            if (remaining := deadline.remaining()) <= 0:
                raise self._out_of_time(deadline)
            options: dict[str, Any] = dict(formats[self._format])
            if self._seeded:
                options["seed"] = seed
            try:
                body = self._within(remaining, partial(self._post, messages, options, remaining))
            except openai.APIStatusError as error:
                if not self._learn(error, len(formats)):
                    raise self._status_failure(error) from None
            except openai.APIConnectionError as error:
                if deadline.remaining() <= 0:
                    raise self._out_of_time(deadline) from None
                raise self._connection_failure(error) from None
            except queue.Empty:
                raise self._out_of_time(deadline) from None
            else:
                return self._read(body, usage)

    def _post(self, messages: list[Message], options: dict[str, Any], seconds: float) -> str:
        import openai

        if self._client is None:
            loopback = is_loopback(self.base_url)
            self._client = openai.OpenAI(
                api_key=self.api_key or NO_KEY,
                base_url=self.base_url,
                max_retries=0,
                # A proxy from the environment can't reach this machine's own servers.
                http_client=openai.DefaultHttpxClient(trust_env=False) if loopback else None,
            )
        response = self._client.chat.completions.with_raw_response.create(
            model=self.model,
            messages=messages,  # type: ignore[arg-type]
            timeout=openai.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS)),
            **options,
        )
        return response.text

    def _within(self, seconds: float, call: Callable[[], T]) -> T:
        """``call()``, or queue.Empty after so many seconds: a server that sends a byte now and then never times out."""
        outcome: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

        def work() -> None:
            try:
                outcome.put((call(), None))
            except BaseException as error:
                outcome.put((None, error))

        threading.Thread(target=work, daemon=True, name="llm-request").start()
        try:
            value, error = outcome.get(timeout=seconds)
        except queue.Empty:
            client, self._client = self._client, None
            if client is not None:
                client.close()
            raise
        if error is not None:
            raise error
        return value  # type: ignore[return-value]

    def _learn(self, error: openai.APIStatusError, formats: int) -> bool:
        """Whether the server refused an optional part of the request; that part is not sent to it again."""
        if error.status_code in (401, 402, 403, 429):
            return False
        said = f"{error.param or ''} {_message(error)}"
        if self._seeded and re.search(r"\bseed\b", said):
            self._seeded = False
            log.info("%s does not take a seed.", self.server)
            return True
        if self._format + 1 < formats and re.search(r"response_?format|json_?schema|json_?object|schema", said, re.I):
            self._format += 1
            log.info("%s does not take this form of structured output; trying a simpler one.", self.server)
            return True
        return False

    def _read(self, body: str, usage: dict[str, int]) -> str:
        try:
            completion = _Completion.model_validate_json(body)
        except ValidationError:
            if body.lstrip()[:1] not in ("{", ""):
                raise errors.NotAChatServer(
                    f"{self.server} answers with something that is no chat completion ({self._quote(body)}). "
                    "Check OPENAI_BASE_URL; it usually ends in /v1."
                ) from None
            raise errors.ServerFailing(f"{self.server} sent a malformed chat completion.") from None
        for kind, tokens in completion.usage.counts().items() if completion.usage else ():
            usage[kind] = usage.get(kind, 0) + tokens
        if not completion.choices:
            said = f" ({self._quote(str(completion.error))})" if completion.error else ""
            raise errors.AnswerEmpty(f"{self.server} answered without a choice{said}. Try again or use another model.")
        choice = completion.choices[0]
        message, text = choice.message, choice.message.text()
        if message.refusal:
            raise errors.AnswerRefused(
                f"{self.model} declines to plan this scene: {self._quote(message.refusal)} "
                "Describe it differently, or use the offline planner."
            )
        if choice.finish_reason == "content_filter":
            raise self._filtered()
        if choice.finish_reason == "length":
            raise errors.AnswerCutOff(
                f"The answer of {self.model} was cut off at its greatest length. Describe fewer things, "
                "or use a model or server setting that allows longer answers."
            )
        if not text.strip() and message.tool_calls:
            raise errors.AnswerMisplaced(
                f"{self.model} called a tool instead of answering, though none was offered. Use another model, "
                "or switch off tools on the server."
            )
        if not text.strip():
            raise errors.AnswerEmpty(f"{self.model} gave an empty answer. Try again or use another model.")
        return text

    def _status_failure(self, error: openai.APIStatusError) -> errors.LLMFailure:
        status, code = error.status_code, f"{error.code} {error.type}"
        said = self._quote(_message(error))
        if status == 402 or "insufficient_quota" in code:
            return errors.QuotaExhausted(
                f"{self.server}: the account has no credit left ({status}: {said}). Add credit or use another key."
            )
        if "content_filter" in code or "content_policy" in code:
            return self._filtered()
        if status == 429:
            return errors.RateLimited(f"{self.server} limits the rate of requests ({said}).", _retry_after(error))
        if status >= 500 or status in (408, 409, 425):
            return errors.ServerFailing(f"{self.server} fails ({status}: {said}).", _retry_after(error))
        if status in (401, 403):
            advice = "Check OPENAI_API_KEY." if self.api_key else "It wants a key: set OPENAI_API_KEY."
            return errors.RequestRejected(f"{self.server} denies access ({status}: {said}). {advice}")
        if status == 404:
            return errors.RequestRejected(
                f"{self.server} does not know the model {self.model!r} or the address ({status}: {said}). "
                "Check SCENEWRIGHT_MODEL, and OPENAI_BASE_URL, which usually ends in /v1."
            )
        return errors.RequestRejected(
            f"{self.server} rejects the request ({status}: {said}). Shorten the description or use another model."
        )

    def _connection_failure(self, error: openai.APIConnectionError) -> errors.LLMFailure:
        cause = self._quote(str(error.__cause__ or error)) or type(error.__cause__).__name__
        return errors.Unreachable(
            f"{self.server} cannot be reached ({cause}). Check the network, OPENAI_BASE_URL and that the server runs."
        )

    def _out_of_time(self, deadline: Deadline) -> errors.LLMFailure:
        return errors.OutOfTime(
            f"{self.server} gave no complete answer within the {deadline.seconds:g} s allowed. "
            "Allow more time, or use a faster model."
        )

    def _filtered(self) -> errors.LLMFailure:
        return errors.AnswerFiltered(
            f"The content filter of {self.server} withheld the plan. Describe the scene differently, "
            "or use the offline planner."
        )

    def _quote(self, text: str) -> str:
        """A server's words on one short line, without the key that some servers repeat."""
        if self.api_key:
            text = text.replace(self.api_key, "[key]")
        text = " ".join(text.split())
        return text if len(text) <= 300 else text[:297] + "..."


def answer_formats(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The request options that ask for JSON, from the strictest to none; servers differ in which they take."""
    strict = {"type": "json_schema", "json_schema": {"name": "plan", "strict": True, "schema": schema}}
    constrained = {"type": "json_object", "schema": schema}
    return [{"response_format": form} for form in (strict, constrained, {"type": "json_object"})] + [{}]


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine."""
    host = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _failure_of(state: tenacity.RetryCallState) -> errors.LLMFailure:
    failure = state.outcome.exception() if state.outcome else None
    assert isinstance(failure, errors.LLMFailure)
    return failure


def _message(error: openai.APIStatusError) -> str:
    body = error.body
    if isinstance(body, dict):
        return str(body.get("message") or body.get("detail") or body.get("error") or body)
    return str(body or error.response.reason_phrase)


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

    def text(self) -> str:
        """The content; the text parts of one that comes in parts."""
        if not isinstance(self.content, list):
            return self.content or ""
        parts = [part for part in self.content if isinstance(part, dict) and isinstance(part.get("text"), str)]
        return "".join(part["text"] for part in parts if part.get("type", "text") == "text")


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    def counts(self) -> dict[str, int]:
        return {"input_tokens": self.prompt_tokens or 0, "output_tokens": self.completion_tokens or 0}


class _Completion(BaseModel):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None
