"""The loop with a renderer that really draws and a check that really judges; only the planners are scripted."""

import random
import subprocess
import sys

import pytest

from agent.loop import Discarded, Finished, Planned, Rendered, broken_promises, derived_seed, run_loop
from agent.offline.planner import OfflinePlanner
from agent.planner import Plan, PlannerError, PlannerUnavailable
from diffusion.layout import LayoutError
from eval.fidelity import check, judge
from tests.eval.oracle import Oracle, box, changed, moved, scene, without

LEFT, RIGHT = box(0.05, 0.4, 0.35, 0.7), box(0.6, 0.4, 0.9, 0.7)
GOOD = scene(("a red ball", LEFT.xyxy()), ("a blue cube", RIGHT.xyxy()))


class Scripted:
    """A planner that answers from a list; an exception in the list is raised. It remembers what it was asked."""

    name = "scripted"

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def plan(self, prompt, *, width, height, seed):
        return self._next()

    def replan(self, prompt, layout, report, *, round_number, seed):
        self.asked.append((layout, report, round_number, seed))
        return self._next()

    def _next(self):
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer if isinstance(answer, Plan) else Plan(answer)


class Watched:
    """An oracle's render and check, and the layouts and seeds that were drawn."""

    def __init__(self, fault=lambda layout, seed: layout):
        self.oracle, self.drawn = Oracle(fault), []

    def render(self, layout, seed):
        self.drawn.append((layout, seed))
        return self.oracle.render(layout, seed)

    def check(self, layout, image):
        return check(layout, image, self.oracle)


def run(planner, world, rounds=3, seed=7, **options):
    return run_loop(
        "a scene", planner, world.render, world.check, rounds=rounds, seed=seed, width=128, height=128, **options
    )


def stubborn(layout, seed):
    """A model that draws the ball too far to the right when it is planned at the very left."""
    return moved(layout, "i1", box(0.3, 0.4, 0.6, 0.7)) if layout.instance("i1").box.x0 < 0.06 else layout


def loses(*ids):
    """A model that does not draw some of the things, whatever the plan."""

    def fault(layout, seed):
        for instance_id in ids:
            layout = without(layout, instance_id)
        return layout

    return fault


NUDGED = moved(GOOD, "i1", box(0.1, 0.4, 0.4, 0.7))


def test_a_bad_first_plan_is_corrected_and_the_score_rises():
    planner, world = Scripted(GOOD, NUDGED), Watched(stubborn)
    result = run(planner, world)
    first, second = result.rounds
    assert not first.report.accepted and second.report.accepted and result.accepted
    assert result.best is second and second.report.rank > first.report.rank
    assert second.report.mean_iou > first.report.mean_iou + 0.3
    asked_layout, asked_report, round_number, seed = planner.asked[0]
    assert (asked_layout, asked_report, round_number, seed) == (GOOD, first.report, 2, 7)


def test_an_accepted_first_round_ends_the_loop():
    planner, world = Scripted(GOOD), Watched()
    result = run(planner, world, rounds=5)
    assert len(result.rounds) == len(world.drawn) == 1 and result.accepted and result.notes == ()


def test_a_worse_replan_never_replaces_a_better_round():
    worse = moved(GOOD, "i1", box(0.04, 0.2, 0.34, 0.5))

    def fault(layout, seed):
        return stubborn(layout, seed) if layout == GOOD else without(layout, "i1")

    result = run(Scripted(GOOD, worse), Watched(fault), rounds=2)
    assert [r.report.mean_iou for r in result.rounds] == sorted(
        (r.report.mean_iou for r in result.rounds), reverse=True
    )
    assert result.best is result.rounds[0] and result.best.plan.layout == GOOD


def test_of_equal_rounds_the_earlier_is_returned():
    tall, taller = (moved(GOOD, "i2", box(0.6, y, 0.9, 0.7)) for y in (0.3, 0.2))
    result = run(Scripted(GOOD, tall, taller), Watched(loses("i1", "i2")))
    assert len({r.report.rank for r in result.rounds}) == 1 and len(result.rounds) == 3
    assert result.best is result.rounds[0]


def test_more_accepted_things_win_over_a_higher_mean_iou():
    plan = scene(*(("a red ball", (x, 0.3, x + 0.3, 0.6)) for x in (0.0, 0.3, 0.6)))
    replan = moved(plan, "i1", box(0.0, 0.3, 0.3, 0.55))

    def fault(layout, seed):
        if layout == replan:
            return without(without(layout, "i2"), "i3")
        for instance in layout:
            x0, y0, x1, y1 = instance.box.xyxy()
            layout = moved(layout, instance.id, box(x0, y0 + 0.13, x1, y1 + 0.13))
        return layout

    first, second = run(Scripted(plan, replan), Watched(fault), rounds=2).rounds
    assert first.report.mean_iou > second.report.mean_iou
    assert run(Scripted(plan, replan), Watched(fault), rounds=2).best.plan.layout == replan


def test_the_budget_of_rounds_holds():
    boxes = [box(0.05, 0.4 - 0.02 * n, 0.35, 0.7) for n in range(6)]
    planner, world = Scripted(*(moved(GOOD, "i1", b) for b in boxes)), Watched(loses("i1"))
    result = run(planner, world, rounds=4)
    assert len(result.rounds) == len(world.drawn) == 4 and not result.accepted
    assert [round_number for _, _, round_number, _ in planner.asked] == [2, 3, 4]
    with pytest.raises(ValueError, match="at least 1"):
        run(Scripted(GOOD), world, rounds=0)


def test_every_replan_starts_from_the_best_round():
    lost, best, lost_again, last = (moved(GOOD, "i1", box(x, 0.4, x + 0.3, 0.7)) for x in (0.0, 0.1, 0.15, 0.2))

    def fault(layout, seed):
        return moved(layout, "i1", box(0.25, 0.4, 0.55, 0.7)) if layout == best else without(layout, "i1")

    planner = Scripted(lost, best, lost_again, last)
    result = run(planner, Watched(fault), rounds=4)
    assert [layout for layout, *_ in planner.asked] == [lost, best, best]
    assert planner.asked[2][1] is result.rounds[1].report


def test_the_noise_stays_the_same_until_a_plan_asks_for_another():
    plans = [GOOD, *(moved(GOOD, "i1", box(0.05, 0.4 - 0.02 * n, 0.35, 0.7)) for n in (1, 2, 3))]
    answers = [Plan(plans[0]), Plan(plans[1]), Plan(plans[2], new_seed=True), Plan(plans[3])]
    seeds = []
    for _ in range(2):
        world = Watched(loses("i1"))
        run(Scripted(*answers), world, rounds=4, seed=7)
        seeds.append([seed for _, seed in world.drawn])
    assert seeds[0] == seeds[1] == [7, 7, derived_seed(7, 3), 7]
    assert derived_seed(7, 3) not in (7, derived_seed(7, 2), derived_seed(8, 3))


def test_noise_that_helped_is_kept_for_the_next_round():
    def fault(layout, seed):
        return without(layout, "i1") if seed == 7 else moved(layout, "i1", box(0.2, 0.4, 0.5, 0.7))

    world = Watched(fault)
    run(Scripted(GOOD, Plan(GOOD, new_seed=True), NUDGED), world, rounds=3, seed=7)
    assert [seed for _, seed in world.drawn] == [7, derived_seed(7, 2), derived_seed(7, 2)]


@pytest.mark.parametrize("error", [PlannerUnavailable("no answer within 60 s"), LayoutError("plan: not JSON")])
def test_a_planner_that_fails_later_costs_nothing_that_was_done(error):
    events = []
    result = run(Scripted(GOOD, error), Watched(loses("i1")), on_event=events.append)
    assert len(result.rounds) == 1 and result.best.plan.layout == GOOD
    assert result.notes == (f"round 2 was not drawn: the planner failed: {error}",)
    assert isinstance(events[-1], Discarded) and events[-1].plan is None


def test_a_planner_that_fails_at_once_is_the_callers_error():
    with pytest.raises(PlannerUnavailable, match="no answer"):
        run(Scripted(PlannerUnavailable("no answer")), Watched())


def test_a_plan_of_another_size_is_refused():
    other = scene(("a red ball", LEFT.xyxy()), width=256)
    with pytest.raises(PlannerError, match="256 x 128 pixels; 128 x 128 were asked for"):
        run(Scripted(other), Watched())


def test_a_replan_that_breaks_its_promises_is_noted_not_drawn_and_not_repaired():
    planner, world, events = Scripted(GOOD, without(GOOD, "i1"), NUDGED), Watched(stubborn), []
    result = run(planner, world, on_event=events.append)
    assert [layout for layout, _ in world.drawn] == [GOOD, NUDGED]
    assert [r.number for r in result.rounds] == [1, 3] and result.accepted
    assert result.notes == ("round 2 was not drawn: the replan lost i1",)


def test_a_replan_that_changes_nothing_is_not_drawn_again():
    world = Watched(loses("i1"))
    result = run(Scripted(GOOD, GOOD, Plan(GOOD, new_seed=True)), world)
    assert [seed for _, seed in world.drawn] == [7, derived_seed(7, 3)]
    assert "is the plan of round 1 again" in result.notes[0]


KEPT = judge(GOOD, [], "d", None)
I2_ACCEPTED = KEPT.model_copy(
    update={"instances": (KEPT.instances[0], KEPT.instances[1].model_copy(update={"accepted": True}))}
)


@pytest.mark.parametrize(
    "after, problem",
    [
        (without(GOOD, "i2"), "the replan lost i2"),
        (scene(*((i.caption, i.box.xyxy()) for i in (*GOOD, GOOD.instances[0]))), "the replan added i3"),
        (changed(GOOD, "i1", category="cone", caption="a red cone"), "i1 became 'cone'; it was 'ball'"),
        (changed(GOOD, "i1", caption="a green ball"), "i1 became 'a green ball'; it was 'a red ball'"),
        (changed(GOOD, "i1", caption="a ball"), "i1 became 'a ball'; it was 'a red ball'"),
        (moved(GOOD, "i2", box(0.6, 0.4, 0.9, 0.71)), "i2 was changed although it was accepted"),
        (changed(GOOD, "i2", caption="a big blue cube"), "i2 was changed although it was accepted"),
        (GOOD.model_copy(update={"width": 256}), "the canvas became 256 x 128; it was 128 x 128"),
    ],
)
def test_what_a_replan_must_keep(after, problem):
    assert broken_promises(GOOD, I2_ACCEPTED, after) == [problem]


@pytest.mark.parametrize(
    "after",
    [
        GOOD,
        moved(GOOD, "i1", RIGHT),
        changed(GOOD, "i1", caption="one single round red ball"),
        changed(changed(GOOD, "i1", depth=1), "i2", depth=0),
        GOOD.model_copy(update={"instances": GOOD.instances[::-1], "negative_prompt": "text", "caption": "again"}),
    ],
)
def test_what_a_replan_may_change(after):
    assert broken_promises(GOOD, I2_ACCEPTED, after) == []


def capricious(salt):
    """A model that leaves out, recolours, shifts or shrinks half of the things, others for every plan and seed."""

    def fault(layout, seed):
        drawn = layout
        for instance in layout:
            dice = random.Random(f"{salt} {seed} {instance.box.xyxy()}")
            (x0, y0, x1, y1), fate = instance.box.xyxy(), dice.random()
            if fate < 0.1:
                drawn = without(drawn, instance.id)
            elif fate < 0.2:
                drawn = changed(drawn, instance.id, caption=f"a {dice.choice(['pink', 'white'])} {instance.category}")
            elif fate < 0.35:
                shift = dice.uniform(-x0, 1 - x1)
                drawn = moved(drawn, instance.id, box(x0 + shift, y0, x1 + shift, y1))
            elif fate < 0.5:
                w, h = (x1 - x0) / 4, (y1 - y0) / 4
                drawn = moved(drawn, instance.id, box(x0 + w, y0 + h, x1 - w, y1 - h))
        return drawn

    return fault


@pytest.mark.parametrize(
    "prompt",
    [
        "two red balls left of a blue cube on green grass",
        "a black cat next to a purple house and two yellow stars on the beach",
        "a striped green umbrella, a red cup and a blue apple on a table",
        "four purple mushrooms in a row in a forest",
    ],
)
def test_the_offline_planner_keeps_its_promises_and_its_rounds_pay(prompt):
    first, best = [], []
    for salt in range(6):
        world = Watched(capricious(salt))
        result = run_loop(
            prompt, OfflinePlanner(), world.render, world.check, rounds=4, seed=salt, width=128, height=128
        )
        assert result.notes == ()
        first.append(result.rounds[0].report.mean_iou)
        best.append(result.best.report.mean_iou)
    assert sum(best) > sum(first)


def test_events_tell_the_story_and_carry_the_result_so_far():
    events = []
    result = run(Scripted(GOOD, NUDGED), Watched(stubborn), on_event=events.append)
    assert [(type(event), getattr(event, "number", None)) for event in events] == [
        (Planned, 1),
        (Rendered, 1),
        (Finished, None),
        (Planned, 2),
        (Rendered, 2),
        (Finished, None),
    ]
    assert events[2].result.rounds == (events[2].round,) == result.rounds[:1]
    assert events[5].result.rounds == result.rounds
    assert all(t >= 0 for r in result.rounds for t in (r.timings.plan, r.timings.render, r.timings.check))
    assert result.rounds[0].timings.render > 0


def test_an_interruption_leaves_what_was_done_with_the_listener():
    events = []

    def interrupted(layout, seed):
        if layout != GOOD:
            raise KeyboardInterrupt
        return stubborn(layout, seed)

    with pytest.raises(KeyboardInterrupt):
        run(Scripted(GOOD, NUDGED), Watched(interrupted), on_event=events.append)
    done = [event for event in events if isinstance(event, Finished)][-1].result
    assert [r.plan.layout for r in done.rounds] == [GOOD] and done.best.image.size == (128, 128)


def test_importing_the_loop_is_light():
    code = "import sys, agent.loop; print(*{'torch', 'numpy', 'scipy', 'openai', 'PIL'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []
