"""The options that several commands share, each with one name, one help text and one set of limits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.render import MaskName, MergeName
from agent.scene_text import MAX_SEED
from diffusion.schedulers import SchedulerName

Json = Annotated[bool, typer.Option("--json", help="Write the result as JSON on standard output.")]
Seed = Annotated[int, typer.Option("--seed", min=0, max=MAX_SEED, help="The same seed gives the same result.")]
PlanFile = Annotated[Path, typer.Argument(metavar="PLAN.json", help="A plan; - is standard input.", show_default=False)]

PlannerName = Annotated[
    str,
    typer.Option(
        "--planner",
        metavar="auto|offline|openai",
        help="auto takes the LLM when OPENAI_API_KEY or OPENAI_BASE_URL is set, else the offline planner.",
    ),
]
LlmModel = Annotated[
    str | None,
    typer.Option("--llm-model", metavar="NAME", help="The model to ask of the LLM server.", show_default=False),
]
LlmTimeout = Annotated[
    float,
    typer.Option(
        "--llm-timeout", metavar="SECONDS", min=0.1, help="The LLM's time for one plan, over all attempts together."
    ),
]
Cache = Annotated[
    bool, typer.Option("--cache/--no-cache", help="Take a plan that the LLM gave before for the same question.")
]
Width = Annotated[
    int | None, typer.Option("--width", min=8, max=8192, help="Pixels; the model's own size when not given.")
]
Height = Annotated[
    int | None, typer.Option("--height", min=8, max=8192, help="Pixels; the model's own size when not given.")
]

Model = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="tiny|sd15|PATH",
        help="tiny is bundled; PATH is a folder that a pipeline was saved in, or the published checkpoint.",
    ),
]
Base = Annotated[
    str,
    typer.Option(
        "--base",
        metavar="DIR|REPOSITORY",
        help="SD 1.5 in diffusers' format: the published checkpoint has no tokenizer.",
    ),
]
Device = Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda|mps", help="Where the model runs.")]
Steps = Annotated[
    int | None, typer.Option("--steps", min=1, max=999, help="Denoising steps; the model's own number when not given.")
]
Guidance = Annotated[
    float | None, typer.Option("--guidance", min=0.0, max=100.0, help="Scale of classifier-free guidance.")
]
Alpha = Annotated[
    float | None,
    typer.Option(
        "--alpha", min=0.0, max=1.0, help="Share of the steps, from the first, that see the instances' places."
    ),
]
Mis = Annotated[
    float | None,
    typer.Option("--mis", min=0.0, max=1.0, help="Share of the steps in which each instance is drawn on its own."),
]
Merge = Annotated[
    MergeName | None,
    typer.Option(
        "--merge",
        help="What becomes of the instances that were drawn on their own: averaged whole, or each pasted where its "
        "mask or box is, in the plan's order or from back to front by depth; the model's own way when not given.",
        show_default=False,
    ),
]
InstanceMask = Annotated[
    MaskName | None,
    typer.Option(
        "--instance-mask",
        help="Whether patches in an instance's box attend to that instance alone; nearest gives a shared patch to the "
        "instance of least depth, official mirrors the boxes as the published code does; the model's own way when not "
        "given.",
        show_default=False,
    ),
]
Scheduler = Annotated[
    SchedulerName | None,
    typer.Option(
        "--scheduler",
        help="The sampler; pndm and ddim take 50 steps, dpm++ 25 and unipc 20 unless --steps says otherwise. The "
        "model's own when not given.",
        show_default=False,
    ),
]
Refine = Annotated[
    float | None,
    typer.Option(
        "--refine",
        min=0.05,
        max=1.0,
        help="How strongly SDXL's refiner goes over the picture, 0.3 as published; not at all when not given.",
        show_default=False,
    ),
]
Refiner = Annotated[
    str | None,
    typer.Option(
        "--refiner", metavar="PATH", help="A folder with an SDXL refiner; the hub's when not given.", show_default=False
    ),
]
Lora = Annotated[
    list[str] | None,
    typer.Option(
        "--lora",
        metavar="FILE[:SCALE]",
        help="LoRA weights for SD 1.x as safetensors, and how strongly they work, 1 when not given; may be repeated.",
        show_default=False,
    ),
]
CHECKING = "Who checks the picture"
CheckWith = Annotated[
    str,
    typer.Option(
        "--check-with",
        "--detector",
        metavar="NAME",
        rich_help_panel=CHECKING,
        help="The detector that steers the replanning: tiny (bundled, the tiny world's kinds of thing), owlv2 or "
        "grounding-dino (any words), or the hub id or folder of such a model.",
    ),
]
ScoreWith = Annotated[
    str | None,
    typer.Option(
        "--score-with",
        metavar="NAME",
        rich_help_panel=CHECKING,
        help="The detector that scores the picture in the end; the one that checks when not given.",
        show_default=False,
    ),
]
Looks = Annotated[
    str,
    typer.Option(
        "--looks",
        metavar="clip|none|NAME",
        rich_help_panel=CHECKING,
        help="What names the colour and texture of what a detector for any words finds: CLIP, nothing, or another CLIP "
        "by hub id or folder.",
    ),
]
Rounds = Annotated[int, typer.Option("--rounds", min=1, max=99, help="At most so many pictures are drawn of a scene.")]
Anyway = Annotated[
    bool, typer.Option("--anyway", help="Draw with the bundled model also what it was never trained on.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run that DIR holds.")]
Show = Annotated[bool, typer.Option("--show/--no-show", help="Preview the picture where the terminal can.")]

FOREIGN = "Other people's layout files"
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="layout|official|lmd|coco",
        rich_help_panel=FOREIGN,
        help="The file's format; by its content when not given.",
        show_default=False,
    ),
]
Bbox = Annotated[
    str | None,
    typer.Option(
        "--bbox",
        metavar="xywh|xyxy|yxyx|cxcywh",
        rich_help_panel=FOREIGN,
        help="How a bbox is read, in pixels, or with -norm or -1000 behind it in other units; the format's own way "
        "when not given.",
        show_default=False,
    ),
]
Canvas = Annotated[
    str | None,
    typer.Option(
        "--canvas",
        metavar="WxH",
        rich_help_panel=FOREIGN,
        help="Pixels, where the file does not say.",
        show_default=False,
    ),
]
Clip = Annotated[bool, typer.Option("--clip", rich_help_panel=FOREIGN, help="Cut boxes at the canvas' edge.")]
Resample = Annotated[
    bool, typer.Option("--resample", rich_help_panel=FOREIGN, help="Thin out scribbles of more than 20 points.")
]
Entry = Annotated[
    str | None,
    typer.Option(
        "--entry",
        metavar="LINE|IMAGE",
        rich_help_panel=FOREIGN,
        help="Which layout, of a file that holds several.",
        show_default=False,
    ),
]
