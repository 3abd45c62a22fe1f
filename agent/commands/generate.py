"""``scenewright generate``: the whole loop, from a prompt to a checked picture."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.commands import options
from agent.console import emit, emit_json, note, say
from agent.exits import ExitCode, Stop

if TYPE_CHECKING:
    from PIL.Image import Image

    from agent.checkers import Checkers, CheckSettings
    from agent.criticised import Revision
    from agent.loop import Event, LoopResult, Planned, Round
    from agent.render import Renderer, RenderSettings
    from agent.run import RunFolder
    from diffusion.layout import Layout
    from eval.report import FidelityReport


def generate(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The scene in words.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="The run's folder; runs/<time>-<words> when not given."),
    ] = None,
    rounds: options.Rounds = 3,
    planner: options.PlannerName = "auto",
    llm_model: options.LlmModel = None,
    llm_timeout: options.LlmTimeout = 120.0,
    cache: options.Cache = True,
    model: options.Model = "tiny",
    check_with: options.CheckWith = "tiny",
    score_with: options.ScoreWith = None,
    looks: options.Looks = "clip",
    seed: options.Seed = 0,
    width: options.Width = None,
    height: options.Height = None,
    steps: options.Steps = None,
    guidance: options.Guidance = None,
    alpha: options.Alpha = None,
    mis: options.Mis = None,
    merge: options.Merge = None,
    instance_mask: options.InstanceMask = None,
    scheduler: options.Scheduler = None,
    refine: options.Refine = None,
    refiner: options.Refiner = None,
    lora: options.Lora = None,
    device: options.Device = "auto",
    anyway: options.Anyway = False,
    overwrite: options.Overwrite = False,
    show: options.Show = True,
    json: options.Json = False,
) -> None:
    """Plan, draw, check and replan until the picture is accepted or the rounds are used up.

    The run's folder holds the best round (image.png, overlay.png, plan.json, report.json), all rounds, and run.json.
    """
    from agent.checkers import CheckSettings, ensure_there
    from agent.choose import choose_planner
    from agent.criticised import CriticisedPlanner
    from agent.loop import run_loop
    from agent.models import native_size
    from agent.render import RenderSettings, ensure_device
    from agent.run import RunFolder, default_folder
    from agent.scene_text import check_prompt
    from agent.show import preview

    check_prompt(prompt)
    checking = CheckSettings(check_with, score_with, looks)
    ensure_there(checking)
    ensure_device(device)
    native = native_size(model)
    size = (width or native[0], height or native[1])
    chosen, line = choose_planner(planner, model=llm_model, timeout=llm_timeout, cached=cache)
    say(line)
    settings = RenderSettings(
        steps, guidance, alpha, mis, merge, instance_mask, device, scheduler, refine, refiner, tuple(lora or ()) or None
    )
    record = {
        "command": "generate",
        "prompt": prompt,
        "seed": seed,
        "options": {
            "planner": planner,
            "llm_model": llm_model,
            "model": model,
            **asdict(checking),
            "rounds": rounds,
            "width": size[0],
            "height": size[1],
            "anyway": anyway,
            **asdict(settings),
        },
        "planner": {"name": chosen.name, "chosen": line, "notes": [], "usage": chosen.usage},
    }
    with RunFolder.create(output or default_folder(prompt), record, overwrite=overwrite) as run:
        story = _Story(run, prompt, model, checking, settings, anyway)
        result = run_loop(
            prompt,
            CriticisedPlanner(chosen, story.tell_critique),
            story.draw,
            story.check,
            rounds=rounds,
            seed=seed,
            width=size[0],
            height=size[1],
            on_event=story.tell,
        )
        report = story.score(result.best)
        run.finish("done" if report.accepted else "not_accepted")
    if json:
        emit_json(run.record)
    else:
        if show:
            preview(result.best.image, sys.stderr)
        _show_result(run, result, report)
    raise typer.Exit(ExitCode.DONE if report.accepted else ExitCode.NOT_ACCEPTED)


class _Story:
    """What the loop draws and checks with, loaded when the first plan is there, and what it tells as it goes."""

    def __init__(
        self, run: RunFolder, prompt: str, model: str, checking: CheckSettings, settings: RenderSettings, anyway: bool
    ) -> None:
        self._run, self._prompt, self._anyway = run, prompt, anyway
        self._model, self._checking, self._settings = model, checking, settings
        self._renderer: Renderer | None = None
        self._checkers: Checkers | None = None
        self._round = 1

    def draw(self, layout: Layout, seed: int) -> Image:
        from agent.progress import step_bar

        assert self._renderer is not None
        with self._run.timed("render"), step_bar(f"round {self._round}: drawing") as on_step:
            return self._renderer.render(layout, seed, on_step)

    def check(self, layout: Layout, image: Image) -> FidelityReport:
        assert self._checkers is not None
        with self._run.timed("check"):
            report = self._checkers.check(layout, image)
        self._run.record["checkers"] = {"usage": self._checkers.usage()}
        return report

    def score(self, best: Round) -> FidelityReport:
        """The final report on the best round, which becomes the run's."""
        assert self._checkers is not None
        with self._run.timed("score"):
            report = self._checkers.score(best.plan.layout, best.image, best.report)
        self._run.record["checkers"] = {"usage": self._checkers.usage()}
        self._run.save_score(best, report)
        return report

    def tell(self, event: Event) -> None:
        """Keeps the run's folder up to date with the loop, and the person informed."""
        from agent.loop import Discarded, Finished, Planned

        if isinstance(event, Planned):
            self._planned(event)
        elif isinstance(event, Finished):
            drawn = event.round
            self._run.save_round(drawn)
            if event.result.best is drawn:
                self._run.save_best(drawn)
            say(f"round {drawn.number}: {_verdict(drawn.report)}")
            for reason in drawn.report.reasons:
                say(f"  {reason}")
        elif isinstance(event, Discarded):
            self._run.save_discarded(event)
            say(f"round {event.number}: not drawn: {event.reason}")

    def tell_critique(self, revision: Revision) -> None:
        """What the critic found in the first plan, and whether the planner could do better."""
        self._run.record["critique"] = revision.to_dict()
        found = revision.critique.findings
        if found:
            outcome = f"revised, {len(revision.remaining)} left" if revision.revised else revision.reason
            say(f"the critic finds {len(found)} fault{'' if len(found) == 1 else 's'} in the plan: {outcome}")

    def _planned(self, event: Planned) -> None:
        self._round = event.number
        objects = len(event.plan.layout.instances)
        done = "planned" if event.number == 1 else "replanned"
        say(f"round {event.number}: {done} {objects} object{'' if objects == 1 else 's'}")
        if event.plan.cached:
            say("  its plan comes from the cache (--no-cache asks the LLM again)")
        for line in event.plan.notes:
            note(line)
        told: dict[str, Any] = self._run.record["planner"]
        told["notes"] += event.plan.notes
        if event.number == 1:
            self._run.save_plan(event.plan.layout)
            self._refuse_what_the_model_cannot_draw(event.plan.layout)
            self._load()

    def _refuse_what_the_model_cannot_draw(self, layout: Layout) -> None:
        from agent.drawable import refusal, tiny_gaps

        if self._model != "tiny":
            return
        gaps = tiny_gaps(layout)
        if gaps.objects and not self._anyway:
            command = shlex.join(["scenewright", "generate", self._prompt, "--model", "sd15"])
            plan = f"the plan is in {self._run.path / 'plan.json'}"
            raise Stop(f"{refusal(gaps, command)}\n{plan}", ExitCode.UNAVAILABLE)
        lines = [
            *(f"{instance.id}: drawn although the bundled model was never trained on it" for instance in gaps.objects),
            *gaps.notes(),
        ]
        for line in lines:
            note(line)
        self._run.record["model_notes"] = lines

    def _load(self) -> None:
        from agent.checkers import load_checkers
        from agent.render import load_renderer, pick_device

        detectors = dict.fromkeys(filter(None, (self._checking.check_with, self._checking.score_with)))
        say(f"loading the model {self._model} and the detector {' and '.join(detectors)}")
        with self._run.timed("load"):
            self._checkers = load_checkers(self._checking, pick_device(self._settings.device))
            self._renderer = load_renderer(self._model, self._settings)
        self._run.record["renderer"] = self._renderer.describe()


def _verdict(report: FidelityReport) -> str:
    score = "" if report.mean_iou is None else f", mean IoU {report.mean_iou:.2f} over {report.scored}"
    return f"{'accepted' if report.accepted else 'not accepted'}{score}"


def _show_result(run: RunFolder, result: LoopResult, report: FidelityReport) -> None:
    best, rounds = result.best, len(run.record["rounds"])
    emit(f"{_verdict(report)} (round {best.number} of {rounds}, detector {report.detector})")
    if report.roles is not None:
        emit(report.roles.note)
    for reason in report.reasons:
        emit(f"  {reason}")
    for what, name in (("picture", "image.png"), ("overlay", "overlay.png"), ("report", "report.json")):
        emit(f"{what:8} {run.path / name}")
