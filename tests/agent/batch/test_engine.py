"""The engine: groups what can share a pass, hands lost work on, and never leaves anybody waiting."""

import threading
from concurrent.futures import CancelledError

import pytest
from PIL import Image

from agent.batch.engine import ATTEMPTS, Engine, WorkerLost
from agent.batch.studio import Drawn, Job, Refusal, null_outcome
from agent.render import RenderSettings
from tests.diffusion.small import plan, thing

SMALL, LARGE = plan(thing(0)), plan(thing(0), side=64)


class Worker:
    """Draws flat pictures and remembers its groups; ``dies`` says how many groups it dies over first."""

    def __init__(self, dies: int = 0, rows: int = 8, fits: int = 99) -> None:
        self.groups: list[list[Job]] = []
        self.closed = threading.Event()
        self._dies, self._rows, self._fits = dies, rows, fits

    def rows(self) -> int:
        return self._rows

    def draw(self, jobs, rows):
        self.groups.append(list(jobs))
        if len(self.groups) <= self._dies:
            raise WorkerLost("the process was killed by signal 9")
        return [null_outcome(job, min(rows, self._fits)) for job in jobs]

    def close(self) -> None:
        self.closed.set()


def job(seed: int, layout=SMALL, steps: int | None = None) -> Job:
    return Job(layout, seed, RenderSettings(steps=steps))


def test_pictures_share_a_pass_when_canvas_and_settings_are_the_same():
    worker = Worker()
    engine = Engine([lambda: worker])
    wanted = [job(1), job(2, LARGE), job(3), job(4, steps=2), job(5), job(6), job(7)]
    outcomes = [future.result(10) for future in [engine.submit(one, n) for n, one in enumerate(wanted)]]
    assert [outcome.image.size for outcome in outcomes] == [(one.layout.width, one.layout.height) for one in wanted]
    assert all(len({one.kind for one in group}) == 1 and len(group) <= 4 for group in worker.groups)
    assert len(worker.groups[0]) == 4
    engine.close()
    assert worker.closed.wait(10)


def test_what_came_first_is_drawn_first():
    gate, order = threading.Event(), []

    class Slow(Worker):
        def draw(self, jobs, rows):
            gate.wait(10)
            order.extend(one.seed for one in jobs)
            return super().draw(jobs, rows)

    engine = Engine([lambda: Slow(rows=2)])
    futures = [engine.submit(job(seed), priority) for seed, priority in ((0, 0), (3, 30), (1, 10), (2, 20))]
    gate.set()
    assert all(isinstance(future.result(10), Drawn) for future in futures)
    assert order == [0, 1, 2, 3]
    engine.close()


def test_the_last_pictures_are_shared_out_among_idle_workers(monkeypatch):
    monkeypatch.setattr("agent.batch.engine.LINGER", 1.0)
    both = threading.Barrier(2)

    class Patient(Worker):
        def draw(self, jobs, rows):
            both.wait(10)
            return super().draw(jobs, rows)

    workers = [Patient(), Patient()]
    engine = Engine([lambda: workers[0], lambda: workers[1]])
    for future in [engine.submit(job(n), n) for n in range(4)]:
        future.result(10)
    assert [len(group) for worker in workers for group in worker.groups] == [2, 2]
    engine.close()


def test_work_over_which_a_worker_died_is_done_by_the_next():
    worker = Worker(dies=ATTEMPTS - 1)
    engine = Engine([lambda: worker])
    assert isinstance(engine.submit(job(1), 0).result(10), Drawn)
    assert len(worker.groups) == ATTEMPTS
    engine.close()


def test_work_that_kills_every_worker_is_refused():
    engine = Engine([lambda: Worker(dies=99)])
    outcome = engine.submit(job(1), 0).result(10)
    assert isinstance(outcome, Refusal) and outcome.exit_code == 4 and "signal 9, 3 times" in outcome.message
    engine.close()


def test_passes_that_were_halved_stay_halved_for_all():
    heard = []
    engine = Engine([lambda: Worker(fits=2)], on_rows=heard.append)
    for n in range(3):
        engine.submit(job(n), n).result(10)
    assert engine.rows == 2 and heard == [2]
    engine.close()


class Broken(Worker):
    def draw(self, jobs, rows):
        raise ZeroDivisionError("by zero")


class Unloaded(Worker):
    def draw(self, jobs, rows):
        return [Refusal("render", "no such model", 4, lasting=True)] * len(jobs)


@pytest.mark.parametrize(("kind", "words"), [(Broken, "by zero"), (Unloaded, "no such model")])
def test_the_last_worker_that_can_draw_nothing_answers_for_all(kind, words):
    engine = Engine([kind, kind])
    for future in [engine.submit(job(n), n) for n in range(6)]:
        outcome = future.result(10)
        assert isinstance(outcome, Refusal) and words in outcome.message
    assert engine.submit(job(7), 7).result(10) == engine.refusal == outcome


@pytest.mark.parametrize("kind", [Broken, Unloaded])
def test_the_work_of_a_worker_that_can_draw_nothing_goes_to_the_others(kind):
    engine = Engine([kind, Worker])
    assert all(isinstance(future.result(10), Drawn) for future in [engine.submit(job(n), n) for n in range(20)])
    engine.close()


def test_closing_cancels_what_waits():
    started, gate = threading.Event(), threading.Event()

    class Slow(Worker):
        def draw(self, jobs, rows):
            started.set()
            gate.wait(10)
            return super().draw(jobs, rows)

    engine = Engine([lambda: Slow(rows=2)])
    drawing = engine.submit(job(1), 0)
    assert started.wait(10)
    waiting = engine.submit(job(2), 1)
    engine.close()
    with pytest.raises(CancelledError):
        waiting.result(10)
    with pytest.raises(CancelledError):
        engine.submit(job(3), 2)
    gate.set()
    assert isinstance(drawing.result(10).image, Image.Image)
