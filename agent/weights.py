"""Which weights draw and judge: hashes of what models and detectors are loaded from, so that others are noticed."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from agent.checkers import CheckSettings, is_vlm, load_checker
from agent.files import sha256
from agent.models import in_cache
from agent.render import RenderSettings
from diffusion.places import REFINER_REPOSITORY, SD15_REPOSITORY, TINY_FOLDER
from eval.detectors import locate
from eval.places import BUNDLED

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMMIT = re.compile("[0-9a-f]{40}")


def weights(model: str, checking: CheckSettings, render: RenderSettings) -> dict[str, str | None]:
    """For each option that names weights a hash of them; None for what is not on this machine or cannot be read.

    Of a VLM on a server: what it calls itself. Detectors have to be there already (``ensure_there``).
    """
    places: dict[str, Path | None] = {"model": _model_place(model)}
    names: dict[str, str | None] = {}
    for option, name in (("check_with", checking.check_with), ("score_with", checking.score_with)):
        if name is not None and is_vlm(name):
            names[option] = load_checker(name).name
        elif name is not None:
            places |= _detector_places(option, name, checking.looks)
    if render.refine is not None:
        places["refiner"] = in_cache(REFINER_REPOSITORY) if render.refiner is None else Path(render.refiner)
    if render.lora is not None:
        hashes = [content_hash(Path(file)) or "" for file, _ in render.loras()]
        names["lora"] = hashlib.sha256("\n".join(hashes).encode()).hexdigest() if all(hashes) else None
    return names | {option: None if place is None else content_hash(place) for option, place in places.items()}


def content_hash(place: Path) -> str | None:
    """Of a file, or of all files of a folder but descriptions and hidden ones; the hub's commit for its own folders."""
    if place.parent.name == "snapshots" and _COMMIT.fullmatch(place.name):
        return place.name
    try:
        if place.is_file():
            return sha256(place)
        lines = list(_lines(place))
    except OSError:
        return None
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest() if lines else None


def _lines(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and path.suffix != ".md" and not any(part.startswith(".") for part in name.parts):
            yield f"{sha256(path)} {name.as_posix()}"


def _model_place(model: str) -> Path | None:
    return TINY_FOLDER if model == "tiny" else in_cache(SD15_REPOSITORY) if model == "sd15" else Path(model)


def _detector_places(option: str, name: str, looks: str) -> Iterator[tuple[str, Path]]:
    models = locate(name, looks)
    yield option, BUNDLED[name] if models is None else models.folder
    if models is not None and models.looks_folder is not None:
        yield "looks", models.looks_folder
