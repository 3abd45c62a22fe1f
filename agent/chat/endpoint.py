"""Which model on which OpenAI-compatible server is asked, from options and the environment."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from agent.chat.usage import Price, price_of
from agent.planner import PlannerError

OPENAI_URL = "https://api.openai.com/v1"


@dataclass(frozen=True)
class Names:
    """The environment variables that configure an endpoint, the first that is set counting, and words for messages."""

    who: str = "The LLM planner"
    model: tuple[str, ...] = ("SCENEWRIGHT_MODEL", "OPENAI_MODEL")
    base_url: tuple[str, ...] = ("OPENAI_BASE_URL",)
    api_key: tuple[str, ...] = ("OPENAI_API_KEY",)
    way_out: str = "use the offline planner"
    """What a person can do who has no such server, or whose server declines."""


PLANNER = Names()


@dataclass(frozen=True)
class Endpoint:
    """A model on a server. Neither the key nor the URL, which may hold a password, stands in its repr."""

    model: str
    base_url: str = field(default=OPENAI_URL, repr=False)
    api_key: str | None = field(default=None, repr=False)
    names: Names = field(default=PLANNER, repr=False)
    price: Price | None = field(default=None, repr=False)

    @classmethod
    def find(
        cls,
        model: str | None,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        default_model: str | None = None,
        names: Names = PLANNER,
        environ: Mapping[str, str] | None = None,
    ) -> Endpoint:
        """What is not given comes from the environment; PlannerError when it is incomplete or malformed.

        A base URL without a key is fine (local servers). A key without a base URL means OpenAI's service, and
        ``default_model`` where no model is given; another server's models can't be guessed.
        """
        env = os.environ if environ is None else environ
        base_url = base_url or setting(env, *names.base_url)
        api_key = _checked_key(api_key or setting(env, *names.api_key), names)
        model = model or setting(env, *names.model)
        if base_url is None and api_key is None:
            raise PlannerError(
                f"{names.who} needs a server: set {names.api_key[0]} for OpenAI's service, or {names.base_url[0]} for "
                f"another one (such as http://localhost:8080/v1); or {names.way_out}."
            )
        if model is None and (base_url is not None or default_model is None):
            raise PlannerError(
                f"{names.who} needs the name of a model that the server serves: set {' or '.join(names.model)}."
            )
        model = model or str(default_model)
        return cls(model, _checked_url(base_url or OPENAI_URL, names), api_key, names, price_of(model, env))

    @property
    def server(self) -> str:
        """Host and port, without credentials."""
        parts = urlsplit(self.base_url)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)

    @property
    def address(self) -> str:
        """The base URL without credentials and query."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{self.server}{parts.path.rstrip('/')}"

    @property
    def is_loopback(self) -> bool:
        """Whether the server runs on this machine."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")
        return address.is_loopback or address.is_unspecified

    def quote(self, text: str) -> str:
        """A server's words on one short line, without the secrets that some servers repeat."""
        for secret in filter(None, (self.api_key, urlsplit(self.base_url).password)):
            text = text.replace(secret, "[key]")
        text = " ".join(text.split())
        return text if len(text) <= 300 else text[:297] + "..."


def setting(environ: Mapping[str, str], *names: str) -> str | None:
    """The first of these variables that is set and not blank; else None."""
    return next((value for name in names if (value := environ.get(name, "").strip())), None)


def _checked_key(key: str | None, names: Names) -> str | None:
    if key is not None and not all("!" <= character <= "~" for character in key):
        raise PlannerError(f"{names.api_key[0]} holds spaces or other characters that no key has: copy it again.")
    return key


def _checked_url(url: str, names: Names) -> str:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise PlannerError(f"{names.base_url[0]} is not a web address such as http://localhost:8080/v1")
    return url
