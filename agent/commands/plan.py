"""``scenewright plan``: text in, a validated plan out; one prompt or a file of them."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.commands import options
from agent.console import emit, emit_json, note, say, warn
from agent.exits import ExitCode, Stop
from agent.files import write_output

if TYPE_CHECKING:
    from agent.critic import Finding
    from agent.planner import Plan, Planner
    from diffusion.layout import Layout


def plan(
    prompt: Annotated[
        str | None, typer.Argument(metavar="PROMPT", help="The scene in words.", show_default=False)
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="One prompt a line; - is standard input.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Also write the JSON there.", show_default=False),
    ] = None,
    planner: options.PlannerName = "auto",
    llm_model: options.LlmModel = None,
    llm_timeout: options.LlmTimeout = 120.0,
    cache: options.Cache = True,
    critique: Annotated[
        bool, typer.Option("--critique", help="Also say what the critic finds; in JSON under the key critique.")
    ] = False,
    seed: options.Seed = 0,
    model: options.Model = "tiny",
    width: options.Width = None,
    height: options.Height = None,
    json: options.Json = False,
) -> None:
    """Plan a scene: what is where, as a file that `render` draws and `check` compares with a picture.

    With --file, a line that cannot be planned becomes "plan": null with its error, the others go on, and the exit code
    is 2 (4 when the planner's service is unavailable). Blank lines hold no prompt: they are counted and passed over.

    With --critique --json the findings stand under "critique" beside the plan's own keys, or beside "plan" with --file.
    What -o writes for a single prompt is the plan alone, which is what `render` takes.
    """
    from agent.choose import choose_planner
    from agent.models import native_size
    from agent.scene_text import check_prompt

    if (prompt is None) == (file is None):
        raise Stop("give a prompt or --file FILE, one of the two: scenewright plan 'a red ball left of a blue cube'")
    native = native_size(model)
    size = (width or native[0], height or native[1])
    chosen, line = choose_planner(planner, model=llm_model, timeout=llm_timeout, cached=cache)
    say(line)
    if prompt is not None:
        check_prompt(prompt)
        made = chosen.plan(prompt, width=size[0], height=size[1], seed=seed)
        _show_notes(made)
        if output is not None:
            write_output(output, (made.layout.to_json() + "\n").encode())
        findings = _findings(prompt, made.layout) if critique else ()
        if json:
            emit_json({**made.layout.to_dict(), **_as_json(findings, critique)})
        else:
            show_layout(made.layout)
            _show_findings(findings, critique)
    elif file is not None:
        raise typer.Exit(_plan_lines(file, chosen, size, seed, output, json, critique))


def _plan_lines(
    file: Path, planner: Planner, size: tuple[int, int], seed: int, output: Path | None, json: bool, critique: bool
) -> ExitCode:
    from agent.planner import PlannerError
    from agent.scene_text import check_prompt, read_prompt_lines

    prompts = read_prompt_lines(file)
    if prompts.blank:
        note(f"{prompts.source}: {prompts.blank} blank lines hold no prompt")
    written: list[str] = []
    failures: list[int] = []
    for number, prompt in prompts.lines:
        record: dict[str, object]
        findings: tuple[Finding, ...] = ()
        try:
            made = planner.plan(check_prompt(prompt), width=size[0], height=size[1], seed=seed)
            findings = _findings(prompt, made.layout) if critique else ()
            record = {"prompt": prompt, "plan": made.layout.to_dict(), "notes": list(made.notes)}
            record |= _as_json(findings, critique)
            line = f"{number}: {len(made.layout.instances)} objects: {prompt}"
        except (PlannerError, Stop) as error:
            failures.append(error.exit_code)
            record = {"prompt": prompt, "plan": None, "error": str(error)}
            line = f"{number}: failed: {error}"
            warn(f"{prompts.source}: line {number}: {error}")
        if json:
            emit_json(record, indent=None)
        else:
            emit(line)
            _show_findings(findings, critique and record["plan"] is not None)
        written.append(json_format.dumps(record, ensure_ascii=False) + "\n")
    if output is not None:
        write_output(output, "".join(written).encode())
    if not failures:
        return ExitCode.DONE
    warn(f"{len(failures)} of {len(prompts.lines)} prompts failed")
    return ExitCode(max(failures))


def _findings(prompt: str, layout: Layout) -> tuple[Finding, ...]:
    from agent.critic import critique

    said = critique(prompt, layout)
    for line in said.notes:
        note(line)
    return said.findings


def _as_json(findings: tuple[Finding, ...], wanted: bool) -> dict[str, Any]:
    return {"critique": [finding.to_dict() for finding in findings]} if wanted else {}


def _show_findings(findings: tuple[Finding, ...], wanted: bool) -> None:
    if wanted:
        for line in findings or ["the critic finds nothing"]:
            emit(f"  {line}")


def show_layout(layout: Layout) -> None:
    """The plan as a table on standard output."""
    from rich.table import Table

    from agent.console import printable, results

    table = Table("id", "what", "box x0 y0 x1 y1", "depth", box=None, header_style="bold", pad_edge=False)
    for instance in layout:
        box = instance.extent()
        place = " ".join(f"{value:.2f}" for value in box.xyxy()) if box else "(points only)"
        depth = "" if instance.depth is None else str(instance.depth)
        table.add_row(*(printable(cell) for cell in (instance.id, instance.caption, place, depth)))
    emit(f"{layout.caption}  ({layout.width} x {layout.height} pixels)")
    if layout.background:
        emit(f"background: {layout.background}")
    if layout.negative_prompt:
        emit(f"not: {layout.negative_prompt}")
    results().print(table)


def _show_notes(made: Plan) -> None:
    for line in made.notes:
        note(line)
    if made.cached:
        say("The LLM was asked this before: its plan comes from the cache (--no-cache asks again).")
    if made.usage:
        from agent.chat.usage import usage_in_words

        say(f"The LLM took {usage_in_words(made.usage)}.")
