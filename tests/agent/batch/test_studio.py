"""A studio with a real pipeline of random weights: company changes no bit, memory that runs out halves the passes."""

import pytest
import torch

from agent.batch.studio import Drawn, Job, Refusal, Setup, Studio
from agent.checkers import CheckSettings
from agent.render import RenderSettings
from diffusion.unet import InstanceDiffusionUNet
from tests.diffusion.small import MAX_INSTANCES, plan, small_pipeline, thing

SETTINGS = RenderSettings(steps=3)
LAYOUTS = [plan(thing(n % 3), caption="snow") if n % 2 else plan(thing(0), thing(1), thing(2)) for n in range(6)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    small_pipeline().save_pretrained(folder)
    return str(folder)


@pytest.fixture
def studio(model, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    yield Studio(Setup(model, CheckSettings(), RenderSettings(device="cpu"), threads=1))
    torch.set_num_threads(threads)


def jobs(*numbers: int) -> list[Job]:
    return [Job(LAYOUTS[n], seed=n, settings=SETTINGS) for n in numbers]


def bits(outcomes) -> list[tuple[bytes, str]]:
    assert all(isinstance(outcome, Drawn) for outcome in outcomes), outcomes
    return [(outcome.image.tobytes(), outcome.report.to_json()) for outcome in outcomes]


def test_a_picture_and_its_report_do_not_depend_on_the_company(studio):
    together = bits(studio.draw(jobs(0, 1, 2, 3, 4, 5), 4))
    assert len(set(together)) == 6
    assert bits(studio.draw(jobs(5, 2), 4)) == [together[5], together[2]]
    assert bits(studio.draw(jobs(3), 4)) == [together[3]]


def test_passes_that_do_not_fit_into_memory_are_halved_until_they_do(studio, monkeypatch):
    expected = bits(studio.draw(jobs(0, 1, 2, 3), 2))
    forward, seen = InstanceDiffusionUNet.forward, []

    def short_of_memory(self, sample, *arguments, **options):
        seen.append(len(sample))
        if len(sample) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return forward(self, sample, *arguments, **options)

    monkeypatch.setattr(InstanceDiffusionUNet, "forward", short_of_memory)
    outcomes = studio.draw(jobs(0, 1, 2, 3), 8)
    assert bits(outcomes) == expected
    assert {outcome.rows for outcome in outcomes} == {2} and sorted(set(seen)) == [2, 4, 8]


def test_where_one_row_is_too_much_the_picture_is_refused(studio, monkeypatch):
    def no_memory(self, sample, *arguments, **options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(InstanceDiffusionUNet, "forward", no_memory)
    (outcome,) = studio.draw(jobs(0), 4)
    assert isinstance(outcome, Refusal) and outcome.exit_code == 4 and "memory" in outcome.message
    assert not outcome.lasting


def test_a_layout_that_cannot_be_drawn_costs_the_others_nothing(studio):
    expected = bits(studio.draw(jobs(0, 2), 6))
    crowd = plan(*(thing(n) for n in range(MAX_INSTANCES + 1)))
    first, refused, last = studio.draw([*jobs(0), Job(crowd, 1, SETTINGS), *jobs(2)], 6)
    assert bits([first, last]) == expected
    assert isinstance(refused, Refusal) and refused.exit_code == 2 and "instances" in refused.message


@pytest.mark.parametrize(
    "setup", [Setup("/nowhere", CheckSettings()), Setup("tiny", CheckSettings(), RenderSettings(device="abacus"))]
)
def test_what_cannot_be_loaded_is_said_once_and_for_all(setup):
    studio = Studio(setup)
    assert studio.rows() >= 1
    for _ in range(2):
        (outcome,) = studio.draw([Job(LAYOUTS[0], 0, SETTINGS)], 4)
        assert isinstance(outcome, Refusal) and outcome.lasting and outcome.exit_code == 4
