"""A server that speaks /v1/chat/completions on a free port of this machine, with scripted answers and faults.

    with FakeOpenAI(fails(500), says("hello")) as server:
        ...  # server.url is a base URL; server.requests holds what came in

Each request takes the next step of the script; the last step repeats.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Request:
    """A request as it came in; ``body`` is its JSON, ``at`` the time on the monotonic clock."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float = field(default_factory=time.monotonic)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server: FakeOpenAI = self.server.fake  # type: ignore[attr-defined]
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        request = Request(self.path, dict(self.headers), body)
        server.next_step(request)(self, request)

    def send(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


Step = Callable[[Handler, Request], None]


class FakeOpenAI:
    def __init__(self, *script: Step) -> None:
        self._script, self._lock = list(script), threading.Lock()
        self.requests: list[Request] = []
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    def next_step(self, request: Request) -> Step:
        with self._lock:
            self.requests.append(request)
            return self._script.pop(0) if len(self._script) > 1 else self._script[0]

    def __enter__(self) -> FakeOpenAI:
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.fake = self  # type: ignore[attr-defined]
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._http.shutdown()
        socket.socket.close(self._http.socket)


def completion(
    content: Any, *, finish_reason: str = "stop", tokens: tuple[int, int] = (100, 20), **message: Any
) -> dict:
    """The body of a chat completion; further keys go into its message."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "fake",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish_reason,
                "message": {"role": "assistant", "content": content, **message},
            }
        ],
        "usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)},
    }


def says(content: Any, **options: Any) -> Step:
    """A chat completion with that content (a dict is sent as JSON text)."""
    text = json.dumps(content) if isinstance(content, dict) else content
    return sends(completion(text, **options))


def sends(body: Any) -> Step:
    """Status 200 with that JSON."""
    return lambda handler, _: handler.send(json.dumps(body).encode())


def sends_text(text: str, content_type: str = "text/html") -> Step:
    """Status 200 with something that is no JSON."""
    return lambda handler, _: handler.send(text.encode(), **{"content-type": content_type})


def fails(status: int, message: str = "fault", *, headers: dict[str, str] | None = None, **error: str) -> Step:
    """An error as OpenAI's service reports it."""
    body = json.dumps({"error": {"message": message, **error}}).encode()
    return lambda handler, _: handler.send(body, status, **(headers or {}))


def drops(after: bytes = b"") -> Step:
    """The connection is reset, at once or in the middle of the answer."""

    def step(handler: Handler, _: Request) -> None:
        handler.wfile.write(after)
        handler.wfile.flush()
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
        handler.close_connection = True

    return step


def stalls() -> Step:
    """Nothing is ever answered."""

    def step(handler: Handler, _: Request) -> None:
        handler.server.fake.closing.wait(30)  # type: ignore[attr-defined]

    return step


def dribbles(every: float = 0.05) -> Step:
    """The answer comes a byte at a time and never ends, so that no read ever times out."""

    def step(handler: Handler, _: Request) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", "100000")
        handler.end_headers()
        while not handler.server.fake.closing.wait(every):  # type: ignore[attr-defined]
            try:
                handler.wfile.write(b" ")
            except OSError:
                return

    return step


def refuses(*forms: str, then: Step) -> Step:
    """A server that answers 400 to these ``response_format`` types and ``then`` to the rest."""

    def step(handler: Handler, request: Request) -> None:
        form = request.body.get("response_format", {}).get("type")
        if form in forms:
            fails(400, f"'response_format' of type '{form}' is not supported with this model")(handler, request)
        else:
            then(handler, request)

    return step
