"""Who works on what in a batch's folder: locks on single bytes of one file, which a process loses when it dies."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path


class Claims:
    """Locks by name between processes; threads of one process share them. They end with the process, however it ends.

    POSIX record locks: they work on one machine and on network file systems that carry locks. A process opens the file
    once, because closing any of its descriptors would give all of its locks back.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def take(self, name: str, *, wait: bool = False, shared: bool = False) -> bool:
        """Whether the lock is ours now. ``wait``: until it is. ``shared``: beside others who share it."""
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.lockf(self._file, kind if wait else kind | fcntl.LOCK_NB, 1, _byte(name))
        except (BlockingIOError, PermissionError):
            return False
        return True

    def give_back(self, name: str) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _byte(name))

    def close(self) -> None:
        os.close(self._file)


def _byte(name: str) -> int:
    """The byte that stands for a name: far beyond the file's end, where locks are as good as anywhere."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7])
