"""The command line: ``scenewright`` and its commands; each command's body is a file in ``agent/commands``."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from agent.commands import (
    batch,
    bench,
    cache,
    check,
    convert,
    critique,
    export,
    generate,
    iterate,
    models,
    plan,
    rate,
    render,
    report,
    schema,
    score,
)
from agent.console import unwrapped
from agent.exits import DEBUG_VARIABLE, EXIT_CODES, flush_standard_output, guarded


class _Commands(TyperGroup):
    """Every way out of a command goes through ``guarded``: one message, one documented exit code, no traceback."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        return guarded(lambda: super(_Commands, self).make_context(*args, **options))

    def invoke(self, ctx: Any) -> Any:
        return guarded(lambda: super(_Commands, self).invoke(ctx))

    def main(self, *args: Any, **options: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        try:
            return super().main(*args, **options)
        finally:
            flush_standard_output()


app = typer.Typer(
    cls=_Commands,
    name="scenewright",
    help="Turns a scene description into a picture that has been checked against its own plan.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (
    generate.generate,
    batch.batch,
    plan.plan,
    critique.critique,
    render.render,
    iterate.iterate,
    check.check,
    score.score,
    rate.rate,
    export.export,
    report.report,
    schema.schema,
    models.models,
    convert.convert,
):
    app.command(help=unwrapped(command.__doc__), epilog=EXIT_CODES)(command)
app.add_typer(bench.bench)
app.add_typer(cache.cache)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"scenewright {version('scenewright')}")
        raise typer.Exit()


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help=f"Show the traceback of an error (or set {DEBUG_VARIABLE}=1).")
    ] = False,
) -> None:
    if debug:
        os.environ[DEBUG_VARIABLE] = "1"
    # Read when torch loads: threads that spin while they wait make a busy machine ten times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


if __name__ == "__main__":
    app(prog_name="scenewright")
