"""Files of the model hub on this machine, fetched where they are not here yet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from diffusion.places import ModelUnavailable


def from_hub(repository: str, patterns: Sequence[str], needed: Sequence[str], ignored: Sequence[str] = ()) -> Path:
    """The folder with the repository's files that match the patterns.

    needed: files, or patterns of them, that an interrupted download may lack. Raises ModelUnavailable, with the command
    that fetches them.
    """
    from huggingface_hub import snapshot_download

    problem = "half of it is here"
    for offline in (True, False):
        try:
            folder = Path(
                snapshot_download(
                    repository,
                    local_files_only=offline,
                    allow_patterns=list(patterns),
                    ignore_patterns=list(ignored),
                )
            )
        except Exception as error:
            problem = type(error).__name__
            continue
        if all(any(folder.glob(name)) for name in needed):
            return folder
    raise ModelUnavailable(
        f"{repository} is not on this machine and cannot be fetched ({problem}); on a machine that reaches the "
        f"hub: hf download {repository}"
    )
