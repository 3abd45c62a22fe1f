"""Valid plans of LLMs kept on disk, and what their servers turned out to take: one SQLite file, nothing pickled.

A cache is a convenience: where it cannot be read or written, a warning says so once and work goes on without it.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from agent.chat.endpoint import Endpoint, setting
from agent.chat.traits import FORMS, Message, Traits
from agent.console import warn

T = TypeVar("T")

FILE = "llm.sqlite3"
FOLDER_VARIABLE = "SCENEWRIGHT_CACHE"
FORMAT = 1
"""Stands in the file's ``user_version``; what another format holds is dropped."""
TRAITS_DAYS = 7
"""So long is a server taken for what it was: one that was updated is tried in the best way again."""

_TABLES = """
DROP TABLE IF EXISTS answers;
DROP TABLE IF EXISTS traits;
CREATE TABLE answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL, stored REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE traits (endpoint TEXT PRIMARY KEY, traits TEXT NOT NULL, stored REAL NOT NULL) WITHOUT ROWID;
"""


class LLMCache:
    """The cache in a file; threads and processes may share it. The file and its folder are made at the first write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._usable = True
        self._lock = threading.Lock()

    def recall_answer(self, key: str) -> str | None:
        """The answer under this key; None when there is none."""
        row = self._read("SELECT answer FROM answers WHERE key = ?", key)
        return row[0] if row and isinstance(row[0], str) else None

    def remember_answer(self, key: str, answer: str) -> None:
        """Keeps an answer that was found valid."""
        self._write("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", key, answer, time.time())

    def forget_answer(self, key: str) -> None:
        """Drops an answer that is no longer valid."""
        self._write("DELETE FROM answers WHERE key = ?", key)

    def recall_traits(self, endpoint: Endpoint) -> Traits | None:
        """What the model on its server takes; None when it is unknown, or known for too long."""
        newer_than = time.time() - TRAITS_DAYS * 86400
        row = self._read("SELECT traits FROM traits WHERE endpoint = ? AND stored > ?", _name(endpoint), newer_than)
        try:
            traits = Traits(**json.loads(row[0])) if row else None
        except (TypeError, ValueError):
            return None
        return traits if traits and traits.form in FORMS else None

    def remember_traits(self, endpoint: Endpoint, traits: Traits) -> None:
        values = (_name(endpoint), json.dumps(asdict(traits)), time.time())
        self._write("INSERT OR REPLACE INTO traits VALUES (?, ?, ?)", *values)

    def count(self) -> int:
        """The number of answers."""
        row = self._read("SELECT count(*) FROM answers")
        return row[0] if row else 0

    def clear(self) -> None:
        """Removes the file, whatever state it is in. OSError when that fails."""
        for suffix in ("", "-journal", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def _read(self, query: str, *values: object) -> tuple[Any, ...] | None:
        if not self.path.exists():
            return None
        return self._guarded(lambda database: database.execute(query, values).fetchone())

    def _write(self, query: str, *values: object) -> None:
        self._guarded(lambda database: database.execute(query, values))

    def _guarded(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        with self._lock:
            if not self._usable:
                return None
            try:
                with self._database() as database:
                    return work(database)
            except (sqlite3.Error, OSError) as error:
                self._usable = False
                warn(
                    f"{self.path}: the cache cannot be used ({error}); going on without it. "
                    "`scenewright cache clear` removes it, --no-cache leaves it alone."
                )
                return None

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Prompts can be told from their plans: nobody else reads them.
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        database = sqlite3.connect(self.path, timeout=10)
        try:
            database.execute("PRAGMA trusted_schema = OFF")
            with database:
                if database.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
                    database.execute("BEGIN IMMEDIATE")
                    if database.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
                        for statement in _TABLES.split(";"):
                            database.execute(statement)
                        database.execute(f"PRAGMA user_version = {FORMAT}")
            with database:
                yield database
        finally:
            database.close()


def default_cache(environ: Mapping[str, str] | None = None) -> LLMCache:
    """The person's cache: in the folder that SCENEWRIGHT_CACHE names, or in the system's own place for caches."""
    folder = setting(os.environ if environ is None else environ, FOLDER_VARIABLE)
    if folder is not None:
        return LLMCache(Path(folder).expanduser() / FILE)
    from platformdirs import user_cache_path

    return LLMCache(user_cache_path("scenewright", appauthor=False) / FILE)


def question_key(
    endpoint: Endpoint,
    messages: list[Message],
    *,
    schema: dict[str, Any],
    prompts: Mapping[str, int],
    seed: int | None,
) -> str:
    """What decides an answer, as a hash: model and server, parameters, the prompts' versions, schema and messages.

    How often and how long a server is asked is left out.
    """
    question = {
        "model": endpoint.model,
        "server": endpoint.address,
        "seed": seed,
        "prompts": dict(prompts),
        "schema": schema,
        "messages": messages,
    }
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()


def _name(endpoint: Endpoint) -> str:
    return f"{endpoint.model} at {endpoint.address}"
