"""Workers that are actors of a Ray cluster, each with a studio of its own: one a GPU, or one a CPU.

Planning, files and the manifest stay with the process that runs the batch; only layouts go out and pictures come back.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from agent.batch.engine import WorkerLost
from agent.batch.processes import MOST
from agent.batch.studio import Job, Outcome, Setup, Studio
from agent.checkers import CheckSettings
from agent.exits import ExitCode, Stop
from agent.render import RenderSettings


class RayWorker:
    """An actor that draws; when it dies, or its node does, another one is started for the next group."""

    def __init__(self, setup: Setup, gpus: int) -> None:
        self._setup, self._gpus = setup, gpus
        self._start()

    def rows(self) -> int:
        return self._ask("rows")

    def draw(self, jobs: Sequence[Job], rows: int) -> list[Outcome]:
        return self._ask("draw", jobs, rows)

    def close(self) -> None:
        import ray

        ray.kill(self._actor)

    def _start(self) -> None:
        import ray

        self._actor: Any = ray.remote(num_cpus=1, num_gpus=self._gpus)(Studio).remote(self._setup)

    def _ask(self, method: str, *arguments: object) -> Any:
        import ray

        try:
            return ray.get(getattr(self._actor, method).remote(*arguments))
        except ray.exceptions.RayActorError as error:
            self._start()
            raise WorkerLost(f"the actor that drew it died ({str(error).splitlines()[0]})") from None


def ray_workers(
    model: str, checking: CheckSettings, settings: RenderSettings, count: int | None
) -> list[partial[RayWorker]]:
    """How to start each actor on the cluster that RAY_ADDRESS names, or on a Ray of this machine's own.

    Stop when Ray is not installed or its cluster cannot be reached.
    """
    # Nothing is reported to anybody from here.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # On a busy machine the actors would wait for everything else; they are what the command is for.
    os.environ.setdefault("RAY_worker_niceness", "0")
    try:
        import ray
    except ImportError:
        raise Stop(
            "--engine ray needs Ray, which is not installed: pip install 'scenewright[ray]'", ExitCode.UNAVAILABLE
        ) from None
    try:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, ignore_reinit_error=True)
    except (ConnectionError, RuntimeError, OSError, ValueError) as error:
        raise Stop(f"Ray cannot be started or reached: {error}", ExitCode.UNAVAILABLE) from error
    there = ray.cluster_resources()
    gpus = 0 if settings.device == "cpu" else int(there.get("GPU", 0))
    wanted = count or gpus or min(int(there.get("CPU", 1)), MOST)
    setup = Setup(model, checking, settings, threads=None if gpus else 1)
    return [partial(RayWorker, setup, 1 if gpus else 0)] * wanted
