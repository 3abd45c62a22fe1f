"""``scenewright bench``: numbers that the model card and the README quote, printed with their denominators."""

from __future__ import annotations

import typer

from agent.commands.bench_batch import batch
from agent.commands.bench_engine import engine
from agent.commands.bench_loop import loop
from agent.commands.bench_merging import merging
from agent.commands.bench_overlap import overlap
from agent.commands.bench_tiny import tiny
from agent.console import unwrapped
from agent.exits import EXIT_CODES

bench = typer.Typer(name="bench", help="Measure what is bundled here.", no_args_is_help=True)
for command in (tiny, loop, overlap, merging, batch, engine):
    bench.command(help=unwrapped(command.__doc__), epilog=EXIT_CODES)(command)
