"""`recert supports`, `--name`, `--version`: exact line formats of the VNN-LIB 2.0 verifier interface."""

from __future__ import annotations

import re

import pytest

from tests.support.command_line import Recert, Refused
from verifier.cli.supports import CAPABILITIES

LINES = {
    "--onnx-operators": r"\w+(::\w+)?|\S+::\w+",
    "--onnx-opset-versions": r"[1-9][0-9]*",
    "--onnx-element-types": r"real|float(16|32|64)",
    "--vnnlib-versions": r"[0-9]+\.[0-9]+",
    "--hidden-node-theories": r"NH|H",
    "--multiple-input-output-theories": r"SIO|MIO",
    "--multiple-network-theories": r"SNET|MENET|MINET|MNET",
    "--multiple-node-comparison-theories": r"SNC|MNC",
    "--arithmetic-complexity-theories": r"BND|OUTC|LIN|POLY",
    "--optimised-disjunctive-reasoning": r"true|false",
    "--serialise-assignments": r"true|false",
}


def test_all_capabilities_of_the_standard_are_answered() -> None:
    assert set(CAPABILITIES) == set(LINES)


@pytest.mark.parametrize("capability", LINES)
def test_one_entry_a_line(recert: Recert, capability: str) -> None:
    result = recert("supports", capability)
    assert result.exit_code == 0
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines
    assert result.stdout == "".join(f"{line}\n" for line in lines)
    assert all(re.fullmatch(LINES[capability], line) for line in lines)
    if capability.endswith("-versions"):
        least, most = (tuple(int(n) for n in line.split(".")) for line in lines)
        assert least <= most


def test_recurrent_operators_are_among_those_read(recert: Recert) -> None:
    assert {"LSTM", "GRU", "RNN", "Gemm", "Conv"} <= set(
        recert("supports", "--onnx-operators").stdout.split()
    )


def test_unknown_capability(refused: Refused) -> None:
    assert "--onnx-operators" in refused("supports", "--time-travel")


def test_name_and_version_are_one_line_each(recert: Recert) -> None:
    assert recert("--name").stdout == "recert\n"
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", recert("--version").stdout)
