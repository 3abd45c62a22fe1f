"""What a batch tells as it goes, and its summary at the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from agent.batch.folder import BatchFolder
from agent.batch.items import Item
from agent.batch.runner import Unrecorded
from agent.chat.usage import Usage, add_usage, usage_in_words
from agent.console import emit, messages, note, say, warn
from agent.exits import ExitCode
from eval.manifest import Entry

EVERY = 10.0
"""Seconds between two lines where there is no terminal to move a bar in."""
SHOWN = 5


class Tally:
    """What this process has finished so far. ``usage``: what asking an LLM takes, kept up to date by the planner."""

    def __init__(self, usage: Usage) -> None:
        self.started = time.monotonic()
        self.items = self.accepted = self.failed = self.pictures = 0
        self.usage = usage

    def add(self, entry: Entry) -> None:
        self.items += 1
        self.accepted += entry.state == "done"
        self.failed += entry.state == "failed"
        self.pictures += len(entry.rounds)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def line(self) -> str:
        drawn = self.items - self.failed
        parts = [f"{60 * self.items / max(self.seconds, 1e-9):.1f} a minute"]
        if drawn:
            parts.append(f"{self.accepted} of {drawn} accepted")
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.usage:
            parts.append(usage_in_words(self.usage))
        return ", ".join(parts)


@contextmanager
def progress(total: int, finished: int, tally: Tally) -> Iterator[Callable[[Entry], None]]:
    """What hears of each entry: a bar in a terminal, a line every few seconds elsewhere."""
    if messages().is_terminal:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.description}"),
        )
        with Progress(*columns, console=messages(), speed_estimate_period=300) as bar:
            task = bar.add_task("", total=total, completed=finished)

            def show(entry: Entry) -> None:
                tally.add(entry)
                _tell_failure(entry)
                bar.update(task, advance=1, description=tally.line())

            yield show
        return
    said = time.monotonic()

    def tell(entry: Entry) -> None:
        nonlocal said
        tally.add(entry)
        _tell_failure(entry)
        if time.monotonic() - said >= EVERY:
            said = time.monotonic()
            left = total - finished - tally.items
            eta = left * tally.seconds / tally.items
            say(f"{finished + tally.items} of {total}, {tally.line()}, about {_duration(eta)} left")

    yield tell


def summary(
    folder: BatchFolder, items: Sequence[Item], unrecorded: Mapping[str, Unrecorded], bad: int, tally: Tally
) -> dict[str, Any]:
    """Plain JSON: how the batch stands, all runs together; ``this_run``: what this one did."""
    known = [folder.known[item.id] for item in items if item.id in folder.known]
    states = Counter(one.state for one in known)
    reasons = Counter(one.message for one in known if one.state == "failed")
    reasons.update(one.message for one in unrecorded.values())
    usage: Usage = {}
    for one in known:
        add_usage(usage, one.usage)
    return {
        "folder": str(folder.path),
        "items": len(items),
        "done": states["done"],
        "not_accepted": states["not_accepted"],
        "failed": states["failed"] + len(unrecorded),
        "unreadable": bad,
        "pictures": sum(one.pictures for one in known),
        "usage": usage,
        "failures": [{"reason": reason, "items": count} for reason, count in reasons.most_common()],
        "this_run": {
            "items": tally.items,
            "pictures": tally.pictures,
            "seconds": round(tally.seconds, 3),
            "pictures_per_minute": round(60 * tally.pictures / max(tally.seconds, 1e-9), 2),
            "usage": tally.usage,
        },
    }


def exit_code(folder: BatchFolder, items: Sequence[Item], unrecorded: Mapping[str, Unrecorded], bad: int) -> ExitCode:
    """The worst that happened to an item: its failure's own code, 2 for what could not be read, 3 not accepted."""
    known = [folder.known[item.id] for item in items if item.id in folder.known]
    failures = [one.exit_code for one in known if one.state == "failed"]
    failures += [one.exit_code for one in unrecorded.values()]
    failures += [ExitCode.BAD_INPUT] * (bad > 0)
    if failures:
        return ExitCode(max(failures))
    return ExitCode.NOT_ACCEPTED if any(one.state == "not_accepted" for one in known) else ExitCode.DONE


def show_summary(told: dict[str, Any]) -> None:
    this = told["this_run"]
    emit(
        f"{told['items']} items: {told['done']} done, {told['not_accepted']} not accepted, {told['failed']} failed"
        + (f"; {told['unreadable']} lines could not be read" if told["unreadable"] else "")
    )
    for failure in told["failures"][:SHOWN]:
        emit(f"  {failure['items']} x {failure['reason']}")
    if len(told["failures"]) > SHOWN:
        emit(f"  and {len(told['failures']) - SHOWN} other reasons, see the manifest")
    emit(
        f"this run: {this['items']} items and {this['pictures']} pictures in {_duration(this['seconds'])}, "
        f"{this['pictures_per_minute']:.1f} pictures a minute"
    )
    if this["usage"]:
        emit(f"LLM, this run: {usage_in_words(this['usage'])}")
    emit(f"folder   {told['folder']}")
    if told["failed"]:
        note("--retry-failed tries the failed items again")


def _tell_failure(entry: Entry) -> None:
    if entry.failure is not None:
        warn(f"{entry.id}: failed ({entry.failure.phase}): {entry.failure.message}")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
