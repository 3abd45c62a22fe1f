"""Plans made in processes: the same as here, also when those are killed, which end with whoever asked."""

import multiprocessing
import os
import signal
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from agent.batch.planning import PlanningProcesses, criticised
from agent.criticised import CriticisedPlanner
from agent.llm import LLMPlanner
from agent.offline import OfflinePlanner
from agent.planner import PlannerError, PlannerUnavailable
from tests.agent.critic.prompts import prompts
from tests.agent.fake_openai_server import FakeOpenAI, says
from tests.agent.llm_answers import GOOD

SIZE = {"width": 256, "height": 192}


def test_plans_are_those_of_this_process_with_what_the_critic_still_finds():
    here, texts = CriticisedPlanner(OfflinePlanner()), [*prompts(77, 30), "seven backpacks and a brown castle"]
    expected = [here.plan(text, **SIZE, seed=n) for n, text in enumerate(texts)]
    with criticised(OfflinePlanner(), 8) as elsewhere, ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda n: elsewhere.plan(texts[n], **SIZE, seed=n), range(len(texts))))
        assert multiprocessing.active_children()
    assert made == expected
    assert any(note.startswith("size: castle-1") for note in made[-1].notes)


def test_bad_input_is_the_same_error():
    with criticised(OfflinePlanner(), 1) as planner, pytest.raises(PlannerError, match="prompt is empty"):
        planner.plan(" ", **SIZE, seed=0)


def test_a_defect_says_where_it_is():
    with criticised(OfflinePlanner(), 1) as planner, pytest.raises(Exception) as caught:
        planner.plan(7, **SIZE, seed=0)  # type: ignore[arg-type]
    shown = "".join(traceback.format_exception(caught.value))
    assert "agent/parsing/" in shown and "agent/batch/planning.py" in shown


def test_an_llm_is_asked_from_here():
    with FakeOpenAI(says(GOOD)) as server:
        llm = LLMPlanner("fake", base_url=server.url, environ={})
        with criticised(llm, 4) as planner:
            assert planner.plan("two cups", width=512, height=512, seed=0).layout.instances
    assert server.requests and llm.usage


def test_a_killed_process_costs_no_plan():
    planner = PlanningProcesses(2)
    try:
        for n in range(3):
            assert planner.plan("two red balls", **SIZE, seed=n).layout.instances
            for process in multiprocessing.active_children():
                os.kill(process.pid, signal.SIGKILL)
                process.join()
    finally:
        planner.close()


def test_a_plan_that_kills_every_process_fails_alone():
    planner = PlanningProcesses(1)
    try:
        with pytest.raises(PlannerUnavailable, match="3 times"):
            planner.plan(Deadly(), **SIZE, seed=1)  # type: ignore[arg-type]
        assert planner.plan("two red balls", **SIZE, seed=1).layout.instances
    finally:
        planner.close()


class Deadly:
    """Kills the process that reads it."""

    def __reduce__(self):
        return _die, ()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_closing_ends_the_processes():
    before = {child.pid for child in multiprocessing.active_children()}
    with criticised(OfflinePlanner(), 1) as planner:
        planner.plan("a ball", **SIZE, seed=1)
        assert {child.pid for child in multiprocessing.active_children()} > before
    assert {child.pid for child in multiprocessing.active_children()} == before


def test_they_end_with_a_process_that_is_killed():
    code = (
        "import multiprocessing, time\n"
        "from agent.batch.planning import PlanningProcesses\n"
        "if __name__ == '__main__':\n"
        "    PlanningProcesses(1).plan('a ball', width=64, height=64, seed=1)\n"
        "    print(*(child.pid for child in multiprocessing.active_children()), flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as asker:
        assert asker.stdout is not None
        children = [psutil.Process(int(pid)) for pid in asker.stdout.readline().split()]
        assert children
        asker.kill()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
