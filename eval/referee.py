"""The judge is not the referee: who checked a picture, and so steered the replanning, and who scored it."""

from __future__ import annotations

from eval.report import FidelityReport, Roles


def with_roles(checked: FidelityReport, scored: FidelityReport | None = None) -> FidelityReport:
    """The score's report, naming the detector of the check and its own; without ``scored``, one for both.

    A picture that was drawn until one detector accepted it is drawn to that detector's taste: what it overlooks, its
    own score overlooks too. Both reports are of one picture and one plan.
    """
    score = scored or checked
    judge, referee = checked.detector, score.detector
    note = (
        f"one detector, {judge}, both checked and scored: what it overlooks, the score overlooks too"
        if judge == referee
        else f"checked with {judge}, scored with {referee}"
    )
    roles = Roles(
        checked_with=judge,
        check_accepted=checked.accepted,
        check_mean_iou=checked.mean_iou,
        scored_with=referee,
        note=note,
    )
    return score.model_copy(update={"roles": roles})
