"""The public suite VNN-LIB SATisfactory: no verdict is wrong, and nearly all are right."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.command_line import Recert

satisfactory = pytest.importorskip("benchmarks.competition.satisfactory")
pytest.importorskip("vnntest")

# what is open: a query whose networks the parser finds not isomorphic (float32 and float16), and one that
# asks whether rounding may leave [0, 1]
OPEN = {"network_isomorphic01", "softmax01"}
TIMEOUT = 10  # generous, for busy machines: 5 seconds are the suite's own


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list:
    return satisfactory.cases(tmp_path_factory.mktemp("satisfactory"))


def answer(recert: Recert, case: object) -> str:
    """The verdict, `error` for a refusal."""
    given = [part for name, path in case.networks.items() for part in ("--network", f"{name}={path}")]  # type: ignore[attr-defined]
    result = recert("verify", case.query, *given, "--timeout", TIMEOUT)  # type: ignore[attr-defined]
    return result.stdout.splitlines()[0] if result.exit_code == 0 else "error"


def test_the_suite_is_the_known_one(cases: list) -> None:
    assert len(cases) == 178
    assert Counter(case.expected for case in cases) == {"sat": 86, "unsat": 92}


THEORIES = ("hidden", "multi_io", "network_", "arithmetic_")
SMOKE = ("add01", "cast05", "conv02", "equal03", "maxpool03", "pow06", "softmax04", "where01", "matmul02")


@pytest.mark.usefixtures("patient")
def test_a_part(recert: Recert, cases: list) -> None:
    chosen = [c for c in cases if c.category.startswith(THEORIES) or c.name in SMOKE]
    assert len(chosen) == 35
    for case in chosen:
        if case.name not in OPEN:
            assert answer(recert, case) == case.expected, case.name
        else:
            assert answer(recert, case) in ("unknown", "timed-out", "error", case.expected), case.name


@pytest.mark.slow
@pytest.mark.usefixtures("patient")
def test_all_of_it(recert: Recert, cases: list) -> None:
    found = {case.name: (answer(recert, case), case.expected) for case in cases}
    wrong = {name: pair for name, pair in found.items() if pair[0] in ("sat", "unsat") and pair[0] != pair[1]}
    assert not wrong
    assert {name for name, (said, is_) in found.items() if said != is_} <= OPEN
