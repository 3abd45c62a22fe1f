"""Detectors by name, and what a person reads when there is none."""

import pytest

from eval import tiny_detector
from eval.detector import DetectorError
from eval.detectors import load_detector
from eval.places import BUNDLED


def test_an_unknown_detector_is_refused_with_the_known_ones():
    with pytest.raises(DetectorError, match="no detector is called 'owl9'; there is: tiny") as caught:
        load_detector("owl9")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("broken", ["config.json", "model.safetensors"])
def test_broken_weights_are_an_unavailable_model(tmp_path, monkeypatch, broken):
    net = tiny_detector.TinyDetectorNet(tiny_detector.DetectorConfig())
    tiny_detector.TinyDetector(net).save(tmp_path)
    (tmp_path / broken).write_bytes(b"{")
    monkeypatch.setitem(BUNDLED, "tiny", tmp_path)
    with pytest.raises(DetectorError, match=f"the bundled detector cannot be loaded: .*{broken}") as caught:
        load_detector("tiny")
    assert caught.value.exit_code == 4


def test_missing_weights_are_an_unavailable_model(tmp_path, monkeypatch):
    monkeypatch.setitem(BUNDLED, "tiny", tmp_path)
    with pytest.raises(DetectorError, match=str(tmp_path)):
        load_detector("tiny")
