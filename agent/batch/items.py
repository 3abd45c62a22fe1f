"""An item of a batch: what is drawn, its own seed, and the file name that its id becomes."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from agent.planner import Plan
from agent.render import MaskName, MergeName
from diffusion.layout import Layout
from eval.report import FidelityReport

MAX_ID = 200
LONGEST_NAME = 100
"""Bytes of a file name before what is appended to it; file systems take 255."""
_KEPT = frozenset(("Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "So"))
"""Unicode's categories of letters, marks, numbers and pictures."""
_HASHED = re.compile(r"-[0-9a-f]{16}$")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?$")


class ItemOptions(BaseModel):
    """What an item may set for itself; None is the batch's own setting."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    rounds: Annotated[int, Field(ge=1, le=99)] | None = None
    width: Annotated[int, Field(ge=8, le=8192)] | None = None
    height: Annotated[int, Field(ge=8, le=8192)] | None = None
    steps: Annotated[int, Field(ge=1, le=999)] | None = None
    guidance: Annotated[float, Field(ge=0.0, le=100.0)] | None = None
    alpha: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    mis: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    merge: MergeName | None = None
    instance_mask: MaskName | None = None

    def given(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True)


@dataclass(frozen=True)
class Item:
    """``prompt`` or ``layout`` or both: a ready layout is drawn as it is. ``place``: where it was read."""

    id: str
    prompt: str | None
    layout: Layout | None
    seed: int
    options: ItemOptions
    place: str
    notes: tuple[str, ...] = ()

    @cached_property
    def name(self) -> str:
        return safe_name(self.id)

    @property
    def text(self) -> str:
        """The scene in words."""
        if self.prompt is not None:
            return self.prompt
        assert self.layout is not None
        return self.layout.caption

    def digest(self) -> str:
        """SHA-256 of all that decides what is drawn, beside the batch's own settings."""
        content = _content(self.prompt, self.layout, self.seed, self.options)
        return hashlib.sha256(f"{self.id}\n{content}".encode()).hexdigest()


class ReadyPlan:
    """A planner that has its plan already; it asks for other noise where a picture was not accepted."""

    name = "ready"

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.usage: dict[str, float] = {}

    def plan(self, prompt: str, *, width: int, height: int, seed: int) -> Plan:
        return Plan(self.layout)

    def replan(self, prompt: str, layout: Layout, report: FidelityReport, *, round_number: int, seed: int) -> Plan:
        return Plan(self.layout, ("a ready plan stays as it is: drawn again from other noise",), new_seed=True)


def made_id(prompt: str | None, layout: Layout | None, seed: int | None, options: ItemOptions) -> str:
    """An id for an item that came without one: its words and a digest of its content, whatever its place in the queue.

    Items of the same content get the same id here; who reads them tells them apart.
    """
    words = prompt if prompt is not None else layout.caption if layout else ""
    slug = re.sub(r"[\W_]+", "-", unicodedata.normalize("NFC", words).casefold())[:40].strip("-")
    digest = hashlib.sha256(_content(prompt, layout, seed, options).encode()).hexdigest()[:10]
    return f"{slug}-{digest}" if slug else digest


def derived_seed(item_id: str, batch_seed: int) -> int:
    """The seed of an item that has none of its own, 0 to 2**32 - 1."""
    return int.from_bytes(hashlib.sha256(f"{batch_seed}:{item_id}".encode()).digest()[:4])


def safe_name(item_id: str) -> str:
    """A file name for an id: different for different ids on any file system, readable, and never a path.

    Letters, digits and marks of any script stay, as do emoji and ``_ . -`` inside. Where that changes the id, or file
    systems might take two ids for the same (case, composition of characters, reserved names), a digest of the id is
    appended.
    """
    kept = "".join(c if c in "_.-" or unicodedata.category(c) in _KEPT else "_" for c in item_id)
    kept = _cut(unicodedata.normalize("NFC", kept), LONGEST_NAME).strip(".- ")
    folded = unicodedata.normalize("NFC", kept.casefold())
    if kept == item_id == folded and not _HASHED.search(kept) and not _RESERVED.match(kept):
        return kept
    return f"{kept or 'item'}-{hashlib.sha256(item_id.encode()).hexdigest()[:16]}"


def _cut(text: str, limit: int) -> str:
    return text.encode()[:limit].decode(errors="ignore")


def _content(prompt: str | None, layout: Layout | None, seed: int | None, options: ItemOptions) -> str:
    plan = layout.to_dict() if layout else None
    content = {"prompt": prompt, "layout": plan, "seed": seed, "options": options.given()}
    return json.dumps(content, sort_keys=True)
