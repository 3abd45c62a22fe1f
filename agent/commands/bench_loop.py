"""``scenewright bench loop``: what replanning is worth beside drawing the same plan again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.commands import options
from agent.console import emit_json

if TYPE_CHECKING:
    from PIL.Image import Image

    from agent.loop import LoopResult
    from diffusion.layout import Layout
    from eval.bench.loop_worth import Try
    from eval.report import FidelityReport


def loop(
    scenes: Annotated[int, typer.Option(min=2, help="How many prompts.")] = 300,
    rounds: Annotated[int, typer.Option(min=2, help="At most so many tries, the first one included.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Of the prompts and the noise.")] = 0,
    model: options.Model = "tiny",
    json: options.Json = False,
) -> None:
    """Prompts of the tiny world through the offline planner, the model and the check, with replans and without.

    The baseline draws the first plan again with new noise, as often as the loop may, and keeps its best picture.
    """
    from rich.progress import track

    from agent.console import messages
    from agent.loop import derived_seed, run_loop
    from agent.offline.planner import OfflinePlanner
    from agent.render import RenderSettings, load_renderer
    from eval.bench.loop_worth import Case, compare, reseed
    from eval.bench.tiny_prompts import prompts
    from eval.detectors import load_detector
    from eval.fidelity import check

    renderer, judge, referee = (
        load_renderer(model, RenderSettings()),
        load_detector("tiny"),
        load_detector("tiny-referee"),
    )
    planner, side = OfflinePlanner(), 128

    def look(layout: Layout, image: Image) -> FidelityReport:
        return check(layout, image, judge)

    cases: list[Case] = []
    for index, prompt in track(list(enumerate(prompts(scenes, seed))), "scenes", console=messages()):
        noise = derived_seed(seed, index)
        result = run_loop(prompt, planner, renderer.render, look, rounds=rounds, seed=noise, width=side, height=side)
        first, *later = _tries(result)
        again = [derived_seed(noise, number) for number in range(2, rounds + 1)]
        cases.append(Case(prompt, first, later, reseed(first, renderer.render, look, again)))
    found = compare(cases, lambda layout, image: check(layout, image, referee))
    table = {
        "renderer": renderer.describe(),
        "steering": judge.name,
        "referee": referee.name,
        "rounds": rounds,
        **found,
    }
    emit_json(table) if json else _show(table)


def _tries(result: LoopResult) -> list[Try]:
    from eval.bench.loop_worth import Try

    return [
        Try(r.plan.layout, r.image, r.report, r.timings.plan + r.timings.render + r.timings.check)
        for r in result.rounds
    ]


def _show(result: dict[str, Any]) -> None:
    from rich.table import Table

    from agent.console import results

    table = Table(
        "", "tries", "extra seconds", "judged by", "mean IoU", "recall at 0.5", "accepted", box=None, pad_edge=False
    )
    for name, arm in result["arms"].items():
        for who in ("steering", "referee"):
            values = (
                f"{arm[who][key]['value']:.3f} of {arm[who][key]['of']}"
                for key in ("mean_iou", "recall_50", "accepted")
            )
            table.add_row(name, str(arm["tries"]), f"{arm['extra_seconds']:.0f}", result[who], *values)
    results().print(table)
    table = Table("difference, paired by scene", "judged by", "mean IoU", "accepted", box=None, pad_edge=False)
    for name, whose in result["differences"].items():
        for who, values in whose.items():
            table.add_row(name, result[who], *(_interval(values[key]) for key in ("mean_iou", "accepted")))
    results().print(table)
    results().print(f"{result['scenes']} scenes, at most {result['rounds']} tries each; boxes normalised xyxy")


def _interval(estimate: dict[str, Any]) -> str:
    low, high = estimate["ci95"]
    return f"{estimate['value']:+.3f} ({low:+.3f} to {high:+.3f})"
