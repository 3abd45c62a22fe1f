"""Folders as a batch leaves them, drawn by the tiny world with faults on request and checked by one who knows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.run import png_bytes
from diffusion.layout import Layout
from diffusion.tiny.world import sample_scene
from eval.fidelity import check
from eval.manifest import MANIFEST, Entry, Failure, Round, Score
from eval.report import FidelityReport
from tests.eval.oracle import Oracle

DIGEST = "0" * 64
FINISHED = "2026-01-01T00:00:00+00:00"


class Tiny(Oracle):
    """Its reports are those of the tiny detector on its best day."""

    name = "tiny"


def plans(count: int, first: int = 0) -> list[Layout]:
    return [sample_scene(seed).layout() for seed in range(first, first + count)]


def keep_batch(
    folder: Path,
    layouts: Sequence[Layout],
    fault: Callable[[Layout, int], Layout] = lambda layout, seed: layout,
    *,
    prompts: Sequence[str] | None = None,
    failed: Sequence[str] = (),
    signed: Callable[[FidelityReport], FidelityReport] = lambda report: report,
) -> Path:
    """A batch's folder with an item for each layout, called item-0, item-1, ..., and one for each id that failed."""
    oracle = Tiny(fault)
    lines = []
    for number, layout in enumerate(layouts):
        name, prompt = f"item-{number}", prompts[number] if prompts else layout.caption
        image = oracle.render(layout, number)
        report = signed(check(layout, image, oracle))
        contents = {
            f"plans/{name}.json": layout.to_json().encode(),
            f"images/{name}.png": png_bytes(image, {}),
            f"reports/{name}.json": report.to_json().encode(),
        }
        for path, data in contents.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        plan, picture, judged = contents
        hashes = [hashlib.sha256(data).hexdigest() for data in contents.values()]
        lines.append(
            Entry(
                id=name,
                name=name,
                item_sha256=DIGEST,
                state="done" if report.accepted else "not_accepted",
                prompt=prompt,
                seed=number,
                plan=plan,
                plan_sha256=hashes[0],
                image=picture,
                image_sha256=hashes[1],
                report=judged,
                report_sha256=hashes[2],
                score=Score(
                    detector="tiny", mean_iou=report.mean_iou, recall_50=report.recall_50, scored=report.scored
                ),
                best_round=1,
                rounds=(
                    Round(
                        number=1,
                        seed=number,
                        accepted=report.accepted,
                        mean_iou=report.mean_iou,
                        plan=plan,
                        image=picture,
                        report=judged,
                    ),
                ),
                finished=FINISHED,
            )
        )
    lines += [
        Entry(
            id=id,
            name=id,
            item_sha256=DIGEST,
            state="failed",
            prompt="a red ball",
            seed=0,
            failure=Failure(phase="plan", exit_code=4, message="the server is down"),
            finished=FINISHED,
        )
        for id in failed
    ]
    (folder / MANIFEST).write_text("".join(line.to_line() for line in lines), encoding="utf-8")
    return folder
