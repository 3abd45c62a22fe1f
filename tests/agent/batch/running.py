"""Batches in real processes, and what they leave behind."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from eval.manifest import Entry, read_manifest

BARE = {key: value for key, value in os.environ.items() if not key.startswith(("OPENAI_", "SCENEWRIGHT_"))}


def command(scenes: Path, folder: Path, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "agent.cli", "batch", str(scenes), "-o", str(folder), *map(str, arguments)]


def batch(
    scenes: Path, folder: Path, *arguments: object, env: dict[str, str] | None = None, **options
) -> subprocess.CompletedProcess:
    """The command to its end."""
    return subprocess.run(
        command(scenes, folder, *arguments),
        capture_output=True,
        env={**BARE, **(env or {})},
        timeout=3600,
        text=True,
        **options,
    )


def start(scenes: Path, folder: Path, *arguments: object) -> subprocess.Popen:
    """The command in a process group of its own."""
    return subprocess.Popen(
        command(scenes, folder, *arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=BARE,
        text=True,
        start_new_session=True,
    )


def kill(process: subprocess.Popen) -> None:
    """SIGKILL to the command alone, not to what it started."""
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stderr is not None
    process.stderr.close()


def checked(folder: Path) -> dict[str, Entry]:
    """The manifest by id, when each item is there once and every file is what its line says."""
    entries = read_manifest(folder)
    assert len({entry.id for entry in entries}) == len({entry.name for entry in entries}) == len(entries)
    for entry in entries:
        for path, digest in (
            (entry.plan, entry.plan_sha256),
            (entry.image, entry.image_sha256),
            (entry.report, entry.report_sha256),
        ):
            if path is not None:
                assert hashlib.sha256((folder / path).read_bytes()).hexdigest() == digest
    return {entry.id: entry for entry in entries}


def hashes(folder: Path) -> dict[str, tuple[str | None, str | None, str | None]]:
    return {key: (entry.image_sha256, entry.plan_sha256, entry.report_sha256) for key, entry in checked(folder).items()}
