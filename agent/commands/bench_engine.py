"""``scenewright bench engine``: how fast the engine is beside the published order of work, with the same result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from agent.commands import options
from agent.console import emit_json
from agent.exits import ExitCode, Stop

MOST = 30
COLUMNS = {
    "instances": "",
    "published s": "",
    "ours s": "",
    "ratio": "",
    "busy ratio": "in processor time, which other programs do not lengthen",
    "but UniFusion": "had the published order computed the instances' tokens for nothing",
    "work": "ratio of floating-point operations",
    "memory": "ours at the peak, weights included",
    "of peak": "our operations a busy second, of those of a large matrix product; unknown where that was slower",
    "difference": "relative, of the final latents",
}


def engine(
    instances: Annotated[str, typer.Option(metavar="N,N,...", help="How many instances the plans have.")] = "1,4,10,30",
    size: Annotated[
        str,
        typer.Option(
            metavar="tiny|reduced|full|CONFIG.json",
            help="The network, with random weights: the bundled one's size, a tenth of the published width, the "
            "published size, or any UNet's configuration.",
        ),
    ] = "tiny",
    cells: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Side of the latent; the network's own when not given.")
    ] = None,
    pictures: Annotated[int, typer.Option(min=1, help="Pictures of a plan, drawn together.")] = 1,
    steps: Annotated[int, typer.Option(min=1, max=500, help="Denoising steps, a divisor of 1000.")] = 10,
    guidance: Annotated[float, typer.Option(min=0.0, max=100.0, help="Scale of classifier-free guidance.")] = 7.5,
    alpha: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the steps with fusers on.")] = 0.75,
    mis: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the steps with each instance alone.")] = 0.36,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of both, in turns.")] = 3,
    device: options.Device = "auto",
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        typer.Option(help="Number type; auto is float32 on a CPU and bfloat16 elsewhere."),
    ] = "auto",
    json: options.Json = False,
) -> None:
    """Draws random plans in the published order of work and in ours, in turns, and checks that the results agree.

    The published order takes one condition at a time, two passes for guidance, computes everything anew at every step
    and runs nothing in chunks; both use the same weights and the same attention kernels. Exit code 1 when the results
    differ by more than rounding.
    """
    from agent.progress import step_bar
    from agent.render import pick_device, quiet_libraries

    counts = _counts(instances)
    if size not in ("tiny", "reduced", "full") and not Path(size).is_file():
        raise Stop(f"--size {size}: neither tiny, reduced or full nor a UNet's config.json")
    place = pick_device(device)
    quiet_libraries()
    import torch

    from eval.bench.engine import EngineSettings, bench_engine

    try:
        settings = EngineSettings(
            size, cells, pictures, steps, guidance, alpha, mis, repeats, warm_up=0 if place == "cpu" else 1
        )
    except ValueError as error:
        raise Stop(f"--steps {steps}: {error}") from None
    kind = ("float32" if place == "cpu" else "bfloat16") if dtype == "auto" else dtype
    with step_bar("drawing") as on_run:
        try:
            result = bench_engine(counts, settings, device=place, dtype=getattr(torch, kind), on_run=on_run)
        except ArithmeticError as error:
            raise Stop(str(error), ExitCode.DEFECT) from error
    emit_json(result) if json else _show(result)


def _counts(text: str) -> list[int]:
    try:
        counts = sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise Stop(f"--instances {text}: expected numbers with commas between, like 1,4,10") from None
    if not 0 <= counts[0] <= counts[-1] <= MOST:
        raise Stop(f"--instances {text}: a plan has 0 to {MOST} instances")
    return counts


def _show(result: dict[str, Any]) -> None:
    from rich.table import Table

    from agent.console import results

    device, network, settings = result["device"], result["network"], result["settings"]
    table = Table(box=None, pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, justify="right")
    for run in result["runs"]:
        published, ours = run["published"], run["ours"]
        table.add_row(
            str(run["instances"]),
            f"{published['seconds_per_picture']:.2f}",
            f"{ours['seconds_per_picture']:.2f}",
            f"{run['ratio']:.1f}x",
            f"{run['busy_ratio']:.1f}x",
            f"{run['ratio_without_unifusion']:.1f}x",
            f"{run['work_ratio']:.1f}x",
            "unknown" if ours["peak_memory_bytes"] is None else f"{ours['peak_memory_bytes'] / 2**30:.2f} GiB",
            "unknown" if ours["share_of_matmul_peak"] is None else f"{ours['share_of_matmul_peak']:.0%}",
            f"{run['difference']:.0e}",
        )
    say = results().print
    say(table)
    for added in result["busy_seconds_per_added_instance"]:
        say(
            f"an added instance, {added['from']} to {added['to']}: {added['ours']:.3f} busy s ours, "
            f"{added['published']:.3f} published"
        )
    for name, meaning in COLUMNS.items():
        if meaning:
            say(f"{name}: {meaning}")
    threads = f", {device['threads']} threads" if device["threads"] else ""
    say(
        f"seconds a picture, medians of {settings['repeats']} runs of each in turns, on {device['name']} "
        f"({device['kind']}{threads}) in {device['dtype']}, which multiplies matrices at "
        f"{device['matmul_peak_tflops']:.3g} TFLOP/s; torch {device['torch']}"
    )
    say(
        f"network {network['size']}: {network['parameters'] / 1e6:.1f} M random weights, {network['cells']} x "
        f"{network['cells']} cells; pictures at once {settings['pictures']}, PLMS steps {settings['steps']}, guidance "
        f"{settings['guidance']}, alpha {settings['alpha']}, MIS {settings['mis']}"
    )
