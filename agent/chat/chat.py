"""One question to an OpenAI-compatible server: retries, one deadline, and what the server takes, in one place."""

from __future__ import annotations

import base64
import logging
import queue
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import tenacity

from agent.chat import errors
from agent.chat.endpoint import Endpoint
from agent.chat.reading import connection_failure, read_completion, status_failure, words_of
from agent.chat.traits import Message, Traits
from agent.chat.usage import Usage

if TYPE_CHECKING:
    import openai

log = logging.getLogger(__name__)

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


class TraitsMemory(Protocol):
    """Where it is kept, longer than a process lives, what a model on a server takes."""

    def recall_traits(self, endpoint: Endpoint) -> Traits | None: ...

    def remember_traits(self, endpoint: Endpoint, traits: Traits) -> None: ...


@dataclass
class Chat:
    """A model on a server, asked by any number of threads. What the server refuses of a request is tried once only."""

    endpoint: Endpoint
    attempts: int = 5
    backoff: float = 0.5
    """Seconds before the first retry; doubled for each further one, with jitter."""
    memory: TraitsMemory | None = field(default=None, repr=False)
    _idle: queue.LifoQueue[openai.OpenAI] = field(default_factory=queue.LifoQueue, init=False, repr=False)
    _traits: Traits | None = field(default=None, init=False)

    def ask(
        self,
        messages: list[Message],
        *,
        schema: dict[str, Any],
        seed: int | None = None,
        deadline: Deadline,
        usage: Usage,
    ) -> str:
        """The model's answer, meant to follow ``schema``; an LLMFailure of its own kind for everything else.

        The messages should ask for JSON by name: some servers insist on the word. The tokens of every attempt are added
        to ``usage``.
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
        self, messages: list[Message], schema: dict[str, Any], seed: int | None, deadline: Deadline, usage: Usage
    ) -> str:
        """One answer; a request that is refused for one of its optional parts is sent again without it."""
        import openai

        known = traits = self._known_traits()
        cut_off: errors.AnswerCutOff | None = None
        while True:
            if (remaining := deadline.remaining()) <= 0:
                raise self._out_of_time(deadline)
            try:
                body = self._post(traits.messages(messages), traits.options(schema, seed), remaining)
                answer = read_completion(body, self.endpoint, usage)
            except openai.APIStatusError as error:
                simpler = traits.after(error.status_code, words_of(error), error.param or "")
                if simpler is None or (cut_off and simpler.max_tokens is None):
                    raise cut_off or status_failure(error, self.endpoint) from None
                log.info("%s refuses a part of the request; next try: %s", self.endpoint.server, simpler)
                traits = simpler
            except openai.APIConnectionError as error:
                if deadline.remaining() <= 0:
                    raise self._out_of_time(deadline) from None
                raise connection_failure(error, self.endpoint) from None
            except queue.Empty:
                raise self._out_of_time(deadline) from None
            except errors.AnswerCutOff as failure:
                # Some servers end every answer after a few hundred tokens unless the request asks for more.
                longer = traits.longer(failure.tokens or 0)
                if longer is None:
                    raise
                cut_off, traits = failure, longer
            else:
                if traits != known:
                    self._learn(traits)
                return answer

    def _post(self, messages: list[Message], options: dict[str, Any], seconds: float) -> str:
        """The body of the answer; queue.Empty after so many seconds.

        The SDK's own timeout is one between two bytes: a server that sends one now and then would never end.
        """
        import openai

        client = self._client()
        outcome: queue.SimpleQueue[str | BaseException] = queue.SimpleQueue()

        def work() -> None:
            try:
                response = client.chat.completions.with_raw_response.create(
                    model=self.endpoint.model,
                    messages=messages,  # type: ignore[arg-type]
                    timeout=openai.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS)),
                    **options,
                )
                outcome.put(response.text)
            except BaseException as error:
                outcome.put(error)

        threading.Thread(target=work, daemon=True, name="llm-request").start()
        try:
            result = outcome.get(timeout=seconds)
        except BaseException:
            client.close()
            raise
        self._idle.put(client)
        if isinstance(result, BaseException):
            raise result
        return result

    def _client(self) -> openai.OpenAI:
        """A client that no other thread uses: one that has to be closed takes nobody else's request along."""
        import openai

        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return openai.OpenAI(
                api_key=self.endpoint.api_key or NO_KEY,
                base_url=self.endpoint.base_url,
                max_retries=0,
                # A proxy from the environment can't reach this machine's own servers.
                http_client=openai.DefaultHttpxClient(trust_env=False) if self.endpoint.is_loopback else None,
            )

    def _known_traits(self) -> Traits:
        if self._traits is None:
            self._traits = (self.memory.recall_traits(self.endpoint) if self.memory else None) or Traits()
        return self._traits

    def _learn(self, traits: Traits) -> None:
        self._traits = traits
        if self.memory is not None:
            self.memory.remember_traits(self.endpoint, traits)

    def _out_of_time(self, deadline: Deadline) -> errors.OutOfTime:
        return errors.OutOfTime(
            f"{self.endpoint.server} gave no complete answer within the {deadline.seconds:g} s allowed. "
            "Allow more time (--llm-timeout), or use a faster model."
        )


def user_message(text: str, *images: bytes) -> Message:
    """A question, with PNG images before it where there are any."""
    if not images:
        return {"role": "user", "content": text}
    urls = [f"data:image/png;base64,{base64.b64encode(image).decode()}" for image in images]
    parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"role": "user", "content": [*parts, {"type": "text", "text": text}]}


def _failure_of(state: tenacity.RetryCallState) -> errors.LLMFailure:
    failure = state.outcome.exception() if state.outcome else None
    assert isinstance(failure, errors.LLMFailure)
    return failure
