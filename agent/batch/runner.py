"""Runs a batch: items in threads that wait for planners and pictures, each through the loop that ``generate`` runs."""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass

from agent.batch.engine import Engine
from agent.batch.folder import BatchFolder
from agent.batch.item_files import ItemFiles
from agent.batch.items import Item
from agent.batch.scene import BatchSettings, Refused, Scene
from agent.exits import ExitCode, expected_exit_code, in_words
from agent.planner import Planner
from agent.run import now
from eval.manifest import Entry, Failure

LOOK_AGAIN = 0.5
"""Seconds between two looks at what another process is doing."""


@dataclass(frozen=True)
class Unrecorded:
    """An item that failed and whose failure could not even be written down."""

    exit_code: int
    message: str


class Batch:
    """The items of one batch in its folder, with what they are planned and drawn with.

    ``planners``: how many plans are asked for at a time. ``on_entry`` hears of every item that this process finishes.
    """

    def __init__(
        self,
        folder: BatchFolder,
        items: Sequence[Item],
        planner: Planner,
        engine: Engine,
        settings: BatchSettings,
        *,
        planners: int = 8,
        on_entry: Callable[[Entry], None] = lambda entry: None,
    ) -> None:
        self.unrecorded: dict[str, Unrecorded] = {}
        self._folder, self._planner, self._engine, self._settings = folder, planner, engine, settings
        self._turns = threading.BoundedSemaphore(planners)
        self._on_entry = on_entry
        self._items, self._count = items, engine.in_flight + planners
        self._todo: deque[tuple[int, Item]] = deque()
        self._elsewhere: deque[tuple[int, Item]] = deque()
        self._lock = threading.Lock()
        self._defect: BaseException | None = None

    def run(self) -> None:
        """Returns when every item is finished, here or by another process; the engine stays open.

        An interruption ends it at once, and the engine.
        """
        # What failed here may meanwhile be tried again by another process.
        while todo := self._unfinished():
            self._todo.extend(todo)
            self._finish_all(min(len(todo), self._count))

    def _unfinished(self) -> list[tuple[int, Item]]:
        """The items without a line in the manifest, but for those whose line could not be written."""
        self._folder.catch_up()
        over = self._folder.known.keys() | self.unrecorded.keys()
        return [(place, item) for place, item in enumerate(self._items) if item.id not in over]

    def _finish_all(self, count: int) -> None:
        threads = [threading.Thread(target=self._work, daemon=True, name=f"item-{n}") for n in range(count)]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.2)
        except BaseException:
            self._engine.close()
            raise
        if self._defect is not None:
            self._engine.close()
            raise self._defect

    def _work(self) -> None:
        try:
            while (task := self._next()) is not None:
                place, item = task
                with self._folder.claim(item) as ours:
                    if ours:
                        self._finish(item, self._entry(item, place))
                    elif item.id not in self._folder.known:
                        self._elsewhere.append(task)
        except CancelledError:
            return
        except BaseException as error:
            self._defect = error

    def _next(self) -> tuple[int, Item] | None:
        """The next item; when only items are left that other processes work on, one of those every now and then."""
        while self._defect is None:
            with self._lock:
                if self._todo:
                    return self._todo.popleft()
                if not self._elsewhere:
                    return None
                task = self._elsewhere.popleft()
            time.sleep(LOOK_AGAIN)
            self._folder.catch_up()
            if task[1].id not in self._folder.known:
                return task
        return None

    def _entry(self, item: Item, place: int) -> Entry:
        files = ItemFiles(self._folder, item, self._settings.model)
        scene = Scene(item, place, files, self._planner, self._engine, self._settings, self._turns)
        try:
            return scene.draw()
        except CancelledError:
            raise
        except Refused as error:
            refusal = error.refusal
            return self._failed(item, scene, refusal.exit_code, refusal.message, refusal.trace)
        except Exception as error:
            code = expected_exit_code(error)
            if code is None:
                trace = "".join(traceback.format_exception(error))
                return self._failed(item, scene, ExitCode.DEFECT, f"{type(error).__name__}: {error}", trace)
            return self._failed(item, scene, code, in_words(error))

    def _failed(self, item: Item, scene: Scene, code: int, message: str, trace: str = "") -> Entry:
        plan: tuple[str, str] | None = None
        try:
            if trace:
                self._folder.write(f"errors/{item.name}.txt", trace.encode(errors="backslashreplace"))
                message = f"a defect of scenewright, please report it: {message} (errors/{item.name}.txt)"
            plan = scene.write_plan()
        except OSError:
            pass  # the failure itself is what matters, and this is no better time to write
        return Entry(
            id=item.id,
            name=item.name,
            item_sha256=item.digest(),
            state="failed",
            prompt=item.prompt,
            seed=item.seed,
            usage=scene.usage,
            notes=scene.notes,
            failure=Failure(phase=scene.phase, exit_code=code, message=message),
            finished=now(),
            plan=plan[0] if plan else None,
            plan_sha256=plan[1] if plan else None,
        )

    def _finish(self, item: Item, entry: Entry) -> None:
        try:
            try:
                self._folder.append(entry)
            except OSError as error:
                failure = Failure(phase="save", exit_code=ExitCode.BAD_INPUT, message=in_words(error))
                self.unrecorded[item.id] = Unrecorded(failure.exit_code, failure.message)
                entry = entry.model_copy(update={"state": "failed", "failure": failure})
        finally:
            self._on_entry(entry)
