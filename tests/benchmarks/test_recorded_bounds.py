"""The record of bounds that changes of structure are held against: two runs agree, one ulp is reported."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.recorded_bounds import __main__ as command
from benchmarks.recorded_bounds.methods import RECORDED
from benchmarks.recorded_bounds.networks import EPS, Case, Network
from benchmarks.recorded_bounds.record import differences, record
from parsers import read_onnx
from tests.support.networks.classifiers import FEATURES, STEPS, write_network
from verifier.problem.method import Method
from verifier.problem.region import Region


def network(name: str, folder: Path) -> Network:
    graph = read_onnx(write_network(name, folder))
    point = torch.randn(1, STEPS * FEATURES, generator=torch.Generator().manual_seed(0)).double()
    return name, lambda: Case(name, graph, point, EPS)


def test_every_method_is_recorded_and_two_runs_agree(tmp_path: Path) -> None:
    networks = [network("gru_reset_after", tmp_path)]
    found = record(networks)
    assert list(found["gru_reset_after"]) == list(RECORDED)
    assert {method for method in RECORDED.values() if method is not None} == set(Method)
    assert not [*differences(found, record(networks))]


def test_a_sum_off_by_one_ulp_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    networks = [network("rnn_relu", tmp_path)]
    before = record(networks)
    honest = Region.minimum

    def one_ulp_lower(region: Region, *of: Any, **also: Any) -> Tensor:
        found = honest(region, *of, **also)
        return torch.nextafter(found, torch.full_like(found, -math.inf))

    monkeypatch.setattr(Region, "minimum", one_ulp_lower)
    lines = [*differences(before, record(networks))]
    assert any(line.startswith("rnn_relu: backward: ") for line in lines)
    assert not any(line.startswith("rnn_relu: interval: ") for line in lines)


def test_numbers_and_entries_that_change_are_reported() -> None:
    before = {"net": {"interval": [(1.0).hex(), (2.0).hex()], "attack": [(3.0).hex()]}}
    after = {"net": {"interval": [(1.0).hex(), math.nextafter(2.0, 3.0).hex()]}}
    first, second = differences(before, after)
    assert first == "net: interval: 1 of 2 differ, by up to 4.44e-16"
    assert second == "net: attack: ['0x1.8000000000000p+1'] became None"
    assert not [*differences(before, before)]


def test_the_command_ends_with_status_1_where_something_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, held = tmp_path / "record.json", {"net": {"interval": [(1.0).hex()]}}
    monkeypatch.setattr(command, "require_kernels", lambda: "compiled kernels")

    def run(action: str, *names: str) -> object:
        monkeypatch.setattr("sys.argv", ["recorded_bounds", action, str(file), *names])
        with pytest.raises(SystemExit) as ended:
            command.main()
        return ended.value.code

    monkeypatch.setattr(command, "record", lambda _: held)
    monkeypatch.setattr("sys.argv", ["recorded_bounds", "write", str(file)])
    command.main()
    assert run("compare") == 0
    assert "1 arrays compared, 0 differ" in capsys.readouterr().out
    held["net"]["interval"] = [math.nextafter(1.0, 2.0).hex()]
    assert run("compare") == 1
    assert run("compare", "no such network") == 2
