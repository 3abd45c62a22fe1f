"""What a machine can do and what a run takes of it: its name, how fast it multiplies matrices, time and memory."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import Any

import torch

PRODUCTS = 8
"""Of which the fastest counts: whatever else runs on the machine only slows a product down."""


def describe_device(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Name, threads (of a CPU), number type, and the measured speed of a large matrix product in that type."""
    return {
        "kind": device.type,
        "name": torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name(),
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
        "dtype": str(dtype).removeprefix("torch."),
        "torch": torch.__version__,
        "matmul_peak_tflops": matmul_peak(device, dtype) / 1e12,
    }


def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations in a busy second of a square matrix product, the fastest of PRODUCTS."""
    side = 8192 if device.type == "cuda" else 1536
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))

    def speed() -> float:
        started = busy(device)
        a @ b
        return 2 * side**3 / (busy(device) - started)

    speed()
    return max(speed() for _ in range(PRODUCTS))


def now(device: torch.device) -> float:
    """Seconds on a clock, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def busy(device: torch.device) -> float:
    """As ``now``, but without the time that a CPU spends on other programs: its processor seconds a thread."""
    return time.process_time() / torch.get_num_threads() if device.type == "cpu" else now(device)


class PeakMemory:
    """The most memory held since it was made: of a GPU's allocations, or this process's resident memory on Linux."""

    def __init__(self, device: torch.device):
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            self.known = _forget_peak()

    def bytes(self) -> int | None:
        """None where the system does not tell."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return _resident_peak() if self.known else None


def _forget_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return _resident_peak() is not None


def _resident_peak() -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def _cpu_name() -> str:
    """The system's own name of the processor; ``platform`` knows it on some systems only."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()
