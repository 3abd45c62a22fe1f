"""The judge and the referee: a report names both, and says so when they are one."""

from eval.fidelity import check
from eval.referee import with_roles
from eval.report import FidelityReport
from tests.eval.oracle import Oracle, scene, without

PLAN = scene(("a red ball", (0.05, 0.4, 0.35, 0.7)), ("a blue cube", (0.6, 0.4, 0.9, 0.7)))


def reports():
    """What an easy-going judge and a strict referee say of one picture, in which the cube is missing."""
    strict = Oracle(lambda layout, seed: without(layout, "i2"))
    image = strict.render(PLAN, 0)
    strict.name = "strict"
    blind = Oracle()
    blind.render(PLAN, 0)
    (easy,) = blind._drawn.values()
    blind._drawn = {image.tobytes(): easy}
    return check(PLAN, image, blind), check(PLAN, image, strict)


def test_the_score_is_the_referees_and_names_the_judge():
    checked, scored = reports()
    report = with_roles(checked, scored)
    assert checked.accepted and not report.accepted
    assert (report.detector, report.instances) == ("strict", scored.instances)
    assert (report.roles.checked_with, report.roles.scored_with) == ("oracle", "strict")
    assert report.roles.check_accepted and report.roles.check_mean_iou == checked.mean_iou
    assert report.roles.note == "checked with oracle, scored with strict"


def test_one_detector_for_both_says_so():
    checked, _ = reports()
    assert checked == with_roles(checked)
    assert checked.roles.note.startswith("one detector, oracle, both checked and scored: ")


def test_roles_survive_the_file():
    report = with_roles(*reports())
    assert FidelityReport.model_validate_json(report.to_json()) == report
