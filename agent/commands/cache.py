"""``scenewright cache``: the plans that LLMs gave earlier, kept on disk."""

from __future__ import annotations

import typer

from agent.commands import options
from agent.console import emit, emit_json

cache = typer.Typer(name="cache", help="The plans that LLMs gave earlier; they are not asked for twice.")


@cache.callback(invoke_without_command=True)
def show(context: typer.Context, json: options.Json = False) -> None:
    """Say where the cache is and how many plans it holds."""
    from agent.llm_cache import default_cache

    if context.invoked_subcommand is not None:
        return
    kept = default_cache()
    size = kept.path.stat().st_size if kept.path.exists() else 0
    if json:
        emit_json({"path": str(kept.path), "plans": kept.count(), "bytes": size})
    else:
        emit(f"{kept.path}: {kept.count()} plans, {size} bytes")


@cache.command()
def clear() -> None:
    """Remove every kept plan, and what is known of the servers."""
    from agent.exits import Stop
    from agent.llm_cache import default_cache

    kept = default_cache()
    try:
        kept.clear()
    except OSError as error:
        raise Stop(f"{kept.path}: cannot be removed ({error.strerror or error})") from error
    emit(f"{kept.path}: cleared")
