"""Options that make no sense, each refused in one line."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from parsers.errors import BadInput


def norm_order(text: str) -> float:
    """`inf`, `2`, `1`, `1.5` … → p ≥ 1."""
    try:
        p = float(text)
    except ValueError:
        p = math.nan
    if math.isnan(p) or p < 1:
        raise BadInput(f"--norm {text}: it is no norm; use inf, 2, 1 or any number from 1 up")
    return p


def radius(eps: float, name: str = "--eps", *, zero: bool = True) -> float:
    if not math.isfinite(eps) or eps < 0 or (eps == 0 and not zero):
        raise BadInput(f"{name} {eps:g}: give a finite number, {'0 or more' if zero else 'greater than 0'}")
    return eps


def timeout(seconds: float | None) -> float | None:
    if seconds is not None and not seconds > 0:
        raise BadInput(f"--timeout {seconds:g}: give a number of seconds greater than 0, or leave it out")
    return seconds if seconds is None or math.isfinite(seconds) else None


def jobs(count: int, device: str) -> int:
    if count < 1:
        raise BadInput(f"--jobs {count}: give at least 1")
    if count > 1 and device != "cpu":
        raise BadInput(f"--jobs {count}: several processes share no GPU; give --device cpu, or leave it out")
    return count


def clip(low_high: tuple[float, float] | None) -> tuple[float, float] | None:
    if low_high is not None and not low_high[0] <= low_high[1]:
        raise BadInput(f"--clip {low_high[0]:g} {low_high[1]:g}: the first number must not exceed the second")
    return low_high


def bindings(items: Iterable[str]) -> dict[str, Sequence[int] | int]:
    """`time=20` → {"time": 20}, `x=1x20x12` → {"x": (1, 20, 12)}."""
    found: dict[str, Sequence[int] | int] = {}
    for item in items:
        name, _, size = item.rpartition("=")
        parts = size.split("x")
        if not name or not all(part.isdecimal() and int(part) > 0 for part in parts):
            raise BadInput(f"--bind {item}: write NAME=20 for a dimension, NAME=1x20x12 for an input's shape")
        sizes = tuple(int(part) for part in parts)
        found[name] = sizes[0] if len(sizes) == 1 else sizes
    return found


def fixed(items: Iterable[str]) -> dict[str, np.ndarray]:
    """`sr=16000` → {"sr": 16000}, `lengths=3,5` → {"lengths": [3, 5]}; `true` and `false` are 1 and 0."""
    found: dict[str, np.ndarray] = {}
    for item in items:
        name, _, text = item.rpartition("=")
        values = [{"true": "1", "false": "0"}.get(v.strip().lower(), v) for v in text.split(",")]
        try:
            numbers = [int(v) if v.strip().lstrip("+-").isdecimal() else float(v) for v in values]
        except ValueError:
            name = ""
            numbers = []
        if not name or not all(math.isfinite(n) for n in numbers):
            raise BadInput(f"--fix {item}: write NAME=16000, or NAME=3,5 for several numbers in order")
        found[name] = np.array(numbers[0] if len(numbers) == 1 else numbers)
    return found
