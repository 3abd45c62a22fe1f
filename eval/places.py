"""Where the bundled detectors are. No torch."""

from pathlib import Path

_WEIGHTS = Path(__file__).parent / "weights"
BUNDLED = {"tiny": _WEIGHTS / "tiny_detector", "tiny-referee": _WEIGHTS / "tiny_referee"}
"""The detectors for the tiny world. The second was trained apart from the first, on other pictures, and with a head for
masks."""
