"""``scenewright bench tiny``: every table is printed with its denominators, on narrow terminals too."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from agent.cli import app
from eval.bench import tiny_ablations

FEW = ["bench", "tiny", "--pictures", "4", "--largest", "1", "--steps", "1"]


@pytest.mark.parametrize("of", [[], ["--formats"], ["--ablations"]])
def test_a_table_with_its_denominators(of, monkeypatch):
    monkeypatch.setattr(tiny_ablations, "SETTINGS", tiny_ablations.SETTINGS[:2])
    shown = CliRunner().invoke(app, [*FEW, *of], env={"COLUMNS": "80"})
    assert shown.exit_code == 0, shown.output
    assert "4 things in 4 pictures; detector tiny-referee, boxes normalised xyxy" in shown.stdout
    assert ("no instance mask" in shown.stdout) == ("--ablations" in of)
