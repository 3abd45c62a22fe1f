"""A batch's folder: what it was begun with, who works on which item, and the manifest of what is finished.

See ``eval.manifest`` for what lies in it. Any number of processes may work in one folder, and any of them may be
killed: an item belongs to the process that holds its claim, and is finished when its line stands in the manifest.
"""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.batch.claims import Claims
from agent.batch.items import Item
from agent.console import note
from agent.exits import Stop
from agent.files import HALF, write_bytes, write_text
from agent.run import now, versions
from diffusion.layout import short
from eval.manifest import BATCH_FILE, MANIFEST, Entry, State, iterate_manifest

LOCKS = ".claims"
FOLDERS = ("images", "plans", "reports", "rounds", "errors")
_MANIFEST_LOCK, _ALIVE = "manifest", "alive"


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of a finished item."""

    digest: str
    state: State
    exit_code: int
    message: str
    pictures: int
    usage: dict[str, float]


class BatchFolder:
    """The folder of one batch, opened once by each process that works in it; threads may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record: dict[str, Any] = {}
        self.known: dict[str, Known] = {}
        self._claims = Claims(path / LOCKS)
        self._lock = threading.Lock()
        self._read_up_to = 0
        self._manifest: int | None = None
        """A descriptor of the file that was read last, which keeps its inode number from being given to another."""

    @classmethod
    def open(cls, path: Path, settings: dict[str, Any], weights: dict[str, str | None] | None = None) -> BatchFolder:
        """Begins a batch in the folder or goes on with one; Stop when another one, or something else, is in it.

        settings: of the command, by the names of its options. weights: a hash for each option that names some, None
        where it is not known.
        """
        if path.exists() and not path.is_dir():
            raise Stop(f"{path}: not a folder; -o names the folder that the batch is kept in")
        try:
            path.mkdir(parents=True, exist_ok=True)
            strangers = sorted(file.name for file in path.iterdir() if not file.name.startswith("."))
            if strangers and not (path / BATCH_FILE).exists():
                raise Stop(f"{path}: there is something else in this folder ({short(strangers[0])}); choose another")
            folder = cls(path.resolve())
            with folder._exclusively():
                folder._catch_up()
                alone = folder._claims.take(_ALIVE)
                if alone:
                    folder._sweep()
                folder._begin(settings, weights or {}, anew=alone and not folder._has_pictures())
                folder._claims.take(_ALIVE, shared=True, wait=True)
        except OSError as error:
            raise Stop(f"{path}: cannot be used as the batch's folder ({error.strerror or error})") from error
        return folder

    def check(self, items: Iterable[Item]) -> None:
        """Stop when an item is known in this folder as another one: an id stands for one scene."""
        for item in items:
            known = self.known.get(item.id)
            if known is not None and known.digest != item.digest():
                raise Stop(
                    f"{item.place}: the item {short(item.id)} is finished in {self.path} with another prompt, layout, "
                    "seed or options: give it another id, or choose another folder"
                )

    @contextmanager
    def claim(self, item: Item) -> Iterator[bool]:
        """Whether this process may work on the item now; then nobody else does, and it was not finished before."""
        name = f"item {item.id}"
        if not self._claims.take(name):
            yield False
            return
        try:
            self.catch_up()
            yield item.id not in self.known
        finally:
            self._claims.give_back(name)

    def catch_up(self) -> None:
        """Reads what others have finished meanwhile."""
        with self._exclusively():
            self._catch_up()

    def append(self, entry: Entry) -> None:
        """Writes the item's line, which finishes it. OSError when it cannot be written; then no part of it is."""
        # Not synchronised one by one: a line that a power failure swallows costs one item, which is done again.
        line = entry.to_line().encode()
        with self._exclusively():
            self._catch_up()
            file = os.open(self.path / MANIFEST, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                written = os.write(file, line)
                if written < len(line):
                    os.write(file, line[written:])
            except OSError:
                os.ftruncate(file, self._read_up_to)
                raise
            finally:
                os.close(file)
            self._catch_up()

    def forget_failed(self, items: Iterable[Item]) -> int:
        """Takes the lines of these items that failed out of the manifest; how many there were."""
        wanted = {item.id for item in items}
        with self._exclusively():
            self._catch_up()
            failed = {id for id, known in self.known.items() if known.state == "failed" and id in wanted}
            if failed:
                kept = [entry.to_line() for entry, _ in iterate_manifest(self.path) if entry.id not in failed]
                write_text(self.path / MANIFEST, "".join(kept))
                self._catch_up()
        return len(failed)

    def write(self, name: str, data: bytes) -> None:
        """A file of the batch, whole or not at all."""
        write_bytes(self.path / name, data)

    def note_items(self, items: Iterable[Item]) -> None:
        """Records how many items the batch has, so that readers know a whole manifest from the beginning of one."""
        count = len(self.known.keys() | {item.id for item in items})
        if self.record.get("items") != count:
            self.save_record(items=count)

    def save_record(self, **changes: Any) -> None:
        if self.record == (changed := {**self.record, **changes}):
            return
        self.record = changed
        write_text(self.path / BATCH_FILE, json.dumps(self.record, ensure_ascii=False, indent=2) + "\n")

    def close(self) -> None:
        self._claims.close()
        self._let_go()

    def _let_go(self) -> None:
        if self._manifest is not None:
            os.close(self._manifest)
            self._manifest = None

    def _begin(self, settings: dict[str, Any], weights: dict[str, str | None], *, anew: bool) -> None:
        """Goes on with what the record says, or begins with these settings where there is none, or ``anew``."""
        file = self.path / BATCH_FILE
        settings = json.loads(json.dumps(settings))
        if file.exists():
            self._read_record(file)
        if anew or not file.exists():
            self.save_record(
                version=1, started=now(), settings=settings, weights=weights, rows=None, versions=versions()
            )
            return
        self._compare(settings, weights)
        known = {option: digest for option, digest in self.record.get("weights", {}).items() if digest is not None}
        self.save_record(weights={**weights, **known})

    def _read_record(self, file: Path) -> None:
        try:
            self.record = json.loads(file.read_text(encoding="utf-8"))
            {**self.record["settings"], **self.record.get("weights", {}), **self.record["versions"]}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Stop(f"{file}: not a batch's record ({error}); choose another folder") from error

    def _compare(self, settings: dict[str, Any], weights: dict[str, str | None]) -> None:
        """Stop when what is missing would be drawn or judged otherwise than what is there."""
        before = self.record["settings"]
        changed = [key for key in {**before, **settings} if before.get(key) != settings.get(key)]
        if changed:
            was = ", ".join(f"{key} was {short(before.get(key))} and is {short(settings.get(key))}" for key in changed)
            raise Stop(f"{self.path}: begun with other settings: {was}; repeat them, or choose another folder")
        for option, digest in self.record.get("weights", {}).items():
            found = weights.get(option)
            if digest is not None and found is not None and found != digest:
                raise Stop(
                    f"{self.path}: begun with other weights: --{option.replace('_', '-')} {settings.get(option)} was "
                    f"{short(digest)} and is {short(found)} (its files); put those back, or choose another folder"
                )
        updated = [
            f"{package} {was} then, {versions().get(package)} now"
            for package, was in self.record["versions"].items()
            if was != versions().get(package)
        ]
        if updated:
            note(f"{self.path}: begun with other versions ({', '.join(updated)}): pictures may come out otherwise")

    def _has_pictures(self) -> bool:
        return any(known.pictures for known in self.known.values()) or any(
            (self.path / "rounds").glob("*/*/round.json")
        )

    def _sweep(self) -> None:
        """Removes what killed processes left half written; only while no other process is at work here."""
        halves = [self.path.glob(HALF), *((self.path / name).rglob(HALF) for name in FOLDERS)]
        for half in itertools.chain(*halves):
            half.unlink(missing_ok=True)

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        with self._lock:
            self._claims.take(_MANIFEST_LOCK, wait=True)
            try:
                yield
            finally:
                self._claims.give_back(_MANIFEST_LOCK)

    def _catch_up(self) -> None:
        """Reads the manifest's new lines, and cuts a line off that a killed process did not finish."""
        path = self.path / MANIFEST
        try:
            status = path.stat()
        except FileNotFoundError:
            return
        known = self.known
        same = self._manifest is not None and os.path.samestat(status, os.fstat(self._manifest))
        if not same or status.st_size < self._read_up_to:
            known = {}
            self._read_up_to = 0
            self._let_go()
            self._manifest = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        if status.st_size > self._read_up_to:
            for entry, end in iterate_manifest(self.path, self._read_up_to):
                known[entry.id] = _known(entry)
                self._read_up_to = end
        # Whoever asks meanwhile must not find a manifest half read.
        self.known = known
        if self._read_up_to < status.st_size:
            os.truncate(path, self._read_up_to)


def _known(entry: Entry) -> Known:
    failure = entry.failure
    code, message = (failure.exit_code, failure.message) if failure else (0, "")
    return Known(entry.item_sha256, entry.state, code, message, len(entry.rounds), entry.usage)
