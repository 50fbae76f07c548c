"""Rows that several threads share get the bounds that they get in one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from parsers import read_onnx
from tests.verifier.networks import CLASSES, FEATURES, FRAMES, NETWORKS, write_network
from verifier import crew
from verifier.arithmetic import Arithmetic
from verifier.bounds import Bounds, Objective
from verifier.program import compile_program
from verifier.region import ball_region


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def _minimum(path: Path, lookback: int | None) -> Tensor:
    program = compile_program(read_onnx(path))
    data = np.random.default_rng(1).normal(size=(2, FRAMES * FEATURES)).astype(np.float32)
    region = ball_region(torch.as_tensor(data), 0.05, torch.inf)
    rows = torch.cat([torch.eye(CLASSES), -torch.eye(CLASSES)]).double()
    bounds = Bounds(program, region, Arithmetic(deployed=False), lookback=lookback)
    return bounds.minimum(Objective(rows.expand(2, -1, -1)))


@pytest.mark.parametrize("lookback", [None, 2])
@pytest.mark.parametrize("name", NETWORKS)
def test_bounds_do_not_depend_on_the_threads(
    name: str, lookback: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_network(name, tmp_path)
    monkeypatch.setattr(crew, "LEAST", 1 << 40)
    alone = _minimum(path, lookback)
    monkeypatch.setattr(crew, "LEAST", 1)
    seen: set[int] = set()
    real = crew.together

    def noted(tasks: list[object]) -> object:
        seen.add(len(tasks))
        return real(tasks)  # type: ignore[arg-type]

    monkeypatch.setattr("verifier.row_bounds.together", noted)
    shared = _minimum(path, lookback)
    assert 2 in seen
    torch.testing.assert_close(shared, alone, rtol=0, atol=1e-9)


def test_every_row_is_in_one_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "LEAST", 10)
    cpu = torch.device("cpu")
    for first, last, entries in ((0, 7, 5), (3, 4, 100), (0, 1, 1), (5, 105, 1)):
        parts = crew.shares(first, last, entries, cpu)
        assert [k for part in parts for k in range(part.start, part.stop)] == list(range(first, last))
        assert len(parts) == max(1, min(2, (last - first) * entries // 10))
    assert len(crew.shares(0, 100, 100, torch.device("cuda"))) == 1


def test_tasks_run_side_by_side_without_gradients_and_threads_of_torch() -> None:
    both = threading.Barrier(2, timeout=10)  # broken unless two tasks wait at it together

    def task() -> tuple[bool, int]:
        both.wait()
        return torch.is_grad_enabled(), torch.get_num_threads()

    assert crew.together([task, task]) == [(False, 1)] * 2
    assert torch.is_grad_enabled()
    assert torch.get_num_threads() == 2


def test_an_error_in_any_share_is_raised() -> None:
    def fails() -> None:
        raise MemoryError("too large")

    for tasks in ([fails, lambda: None], [lambda: None, fails]):
        with pytest.raises(MemoryError, match="too large"):
            crew.together(tasks)
    assert torch.get_num_threads() == 2
