"""Files and folders that are whole or not there: written under a temporary name beside the target, then renamed."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.exits import Stop

HALF = ".*.part"
"""By which a file that a killed process left half written is known."""


def write_bytes(path: Path, data: bytes) -> None:
    """Writes the file and creates its folder; a reader sees the old content or the new, never half. Raises OSError.

    What is there and is no regular file (a pipe, /dev/null) is written to, not replaced.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as stream:
            stream.write(data)
        return
    handle, temporary = _beside(path)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _beside(path: Path) -> tuple[int, str]:
    try:
        return tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:80]}.", suffix=".part")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:80]}.", suffix=".part")


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


@contextmanager
def new_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """A folder to fill, which becomes ``path`` when the block ends well and leaves nothing behind when it does not.

    Stop when it cannot be written, or when there is something at ``path`` already that it is not to ``replace``.
    """
    occupied = path.is_symlink() or (path.exists() and not (path.is_dir() and not any(path.iterdir())))
    if occupied and not replace:
        raise Stop(f"{path}: exists and is no empty folder; choose another")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name[:80]}.", suffix=".part"))
    except OSError as error:
        raise Stop(f"{path}: cannot be written ({error.strerror or error})") from error
    try:
        yield temporary
        os.chmod(temporary, 0o777 & ~_umask())
        if occupied:
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_output(path: Path, data: bytes) -> None:
    """Writes a result to a file that the person named; Stop when it cannot be written."""
    try:
        write_bytes(path, data)
    except OSError as error:
        raise Stop(f"{path}: cannot be written ({error.strerror or error})") from error


def sha256(path: Path) -> str:
    """Hexadecimal digest of the file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    return _UMASK


# Read once: it can only be read by setting it, which other threads that write files would notice.
_UMASK = os.umask(0o077)
os.umask(_UMASK)
