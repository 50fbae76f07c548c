"""Every function in C against its reference in torch, over the table of kernels: all must have inputs."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import relaxations.bounding_planes  # noqa: F401  (each import registers kernels)
import verifier.bounds.concave
import verifier.problem.halfspace
from parsers import read_onnx
from relaxations import GATES
from relaxations.errors import KernelsRequired
from relaxations.gate_box import GateBox
from relaxations.kernels import kernel as contract
from relaxations.kernels import library as loader
from relaxations.kernels.kernel import KERNELS, Kernel, references
from relaxations.kernels.status import kernel_status
from relaxations.slopes.simplex import start
from tests.support.networks.classifiers import FEATURES, STEPS, write_network
from tests.support.paths import ROOT
from tests.support.plane_checks import boxes, built
from tests.support.polygons import cuts
from verifier.bounds.options import BoundOptions
from verifier.bounds.region_bounds import bound_region
from verifier.network.program import compile_program
from verifier.network.rounding import RoundingModel
from verifier.problem.question import Objective
from verifier.problem.region import ball_region
from verifier.propagation import compiled_cell

Compare = Callable[[Any, Any], None]


@dataclass(frozen=True)
class Case:
    """Inputs of a kernel, and how near both results have to be; `fresh` makes them, for results in place."""

    fresh: Callable[[], tuple[Any, ...]]
    compare: Compare


def _near(rtol: float, atol: float, share: float = 1.0) -> Compare:
    """Tensors that are equal but for so much, in a `share` of the entries: ties may be broken otherwise."""

    def compare(found: Any, expected: Any) -> None:
        for one, other in zip(_tensors(found), _tensors(expected), strict=True):
            assert one.shape == other.shape
            near = (one == other) | ((one - other).abs() <= atol + rtol * other.abs())
            assert near.double().mean() >= share

    return compare


def _tensors(found: Any) -> list[Tensor]:
    return [found] if isinstance(found, Tensor) else [t for part in found for t in _tensors(part)]


def _gate_boxes() -> Iterator[GateBox]:
    for gate in GATES.values():
        if gate.compiled:
            lower, upper = boxes(gate, {}, seed=5)
            ordinary = ((upper - lower) < 20).all(0) & (gate.magnitude(lower, upper) < 1e6)
            lower, upper = lower[:, ordinary], upper[:, ordinary]
            yield GateBox(gate, lower, upper, {})
            if gate.name == "sigmoid_tanh":
                yield GateBox(gate, lower, upper, {}, cuts(lower, upper, seed=3))


def _planes() -> Iterator[Case]:
    """Planes of equal volume may have other slopes: their heights at the centre are the same."""
    for box in _gate_boxes():

        def gap(found: Any, box: GateBox = box) -> Tensor:
            slopes, (below, above) = found
            centre = 0.5 * (box.lower + box.upper)
            return ((slopes[1] - slopes[0]) * centre).sum(0) + above - below

        yield Case(
            lambda box=box: (box, (0.0,) * box.gate.arity),
            lambda found, expected, gap=gap: _near(1e-3, 1e-6, 0.95)(gap(found), gap(expected)),
        )


def _offsets() -> Iterator[Case]:
    for box in _gate_boxes():
        slopes = torch.randn(2, *box.lower.shape, generator=torch.Generator().manual_seed(1)).double()
        sides = [(torch.tensor(sign).double(), slope) for sign, slope in zip((-1, 1), slopes, strict=True)]
        # of two places that are equally good either may come out
        near = _near(0.0, 1e-12 if box.octagon is None else 1e-3)
        yield Case(
            lambda box=box, sides=sides: (box, sides),
            lambda found, expected, near=near: near([o for o, _ in found], [o for o, _ in expected]),
        )


def _image() -> Iterator[Case]:
    for box in _gate_boxes():
        yield Case(lambda box=box: (replace(box, octagon=None),), _near(1e-14, 1e-14))


def _exchange() -> Iterator[Case]:
    for k in (1, 2, 3):
        generator = torch.Generator().manual_seed(k)
        points = 2 * torch.rand(k, 30, 60, generator=generator, dtype=torch.float64) - 1
        values, first = (
            torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((30, 60), (k + 1, 30))
        )

        def fresh(points: Tensor = points, values: Tensor = values, first: Tensor = first) -> tuple[Any, ...]:
            basis = start(first, torch.full((len(points), 1), 0.01, dtype=torch.float64))
            return basis.tableau, basis.points, [(points, values)], 60

        yield Case(
            fresh, lambda found, expected: _near(0.0, 1e-9, 0.95)(found[0][-1, -1], expected[0][-1, -1])
        )


def _multipliers() -> Iterator[Case]:
    for dtype in (torch.float64, torch.float32):
        generator = torch.Generator().manual_seed(2)
        rows, normal, radius, middle = (
            torch.randn(*shape, generator=generator, dtype=dtype)
            for shape in ((3, 5, 40), (3, 40), (3, 40), (3,))
        )
        given = rows, normal, radius.abs().float(), middle.float()
        yield Case(lambda given=given: given, _near(1e-3, 1e-5))


def _concave() -> Iterator[Case]:
    generator = torch.Generator().manual_seed(4)
    concave = verifier.bounds.concave
    entries = 4 * concave.LANES
    for half in (None, concave.Half(torch.randn(entries, generator=generator), -0.5)):
        place = torch.randn(30, 2, entries, generator=generator)
        place = place / place.abs().sum(-1, keepdim=True)
        omega = torch.rand(5, 30, 2, generator=generator).double()
        pick = torch.arange(30).expand(5, -1)
        linear = torch.randn(5, entries, generator=generator) / entries
        linear[:, 0] = 0.0
        if half is not None:
            half.normal[0] = 0.0
        given = concave.Terms(place, pick, omega, 0.4 * omega.sum(-1)), linear, half
        yield Case(
            lambda given=given: given,
            lambda found, expected: (
                _near(0.0, 0.0)(found[0].double(), expected[0].double()),
                _near(5e-3, 1e-6, 0.8)(found[1], expected[1]),
            )[0],
        )


CASES: dict[str, Callable[[], Iterator[Case]]] = {
    "planes": _planes,
    "offsets": _offsets,
    "image": _image,
    "exchange": _exchange,
    "multipliers": _multipliers,
    "concave": _concave,
}
ELSEWHERE = {"cell"}  # `test_cells_of_networks`: its inputs are those of networks


def test_every_kernel_has_inputs() -> None:
    assert set(KERNELS) == set(CASES) | ELSEWHERE


@built
@pytest.mark.parametrize("name", CASES)
def test_kernels_are_their_references(name: str) -> None:
    kernel = KERNELS[name]
    functions = kernel.bound()
    assert functions
    for case in CASES[name]():
        found = kernel.compiled(functions, *case.fresh())
        assert found is not None
        case.compare(found, kernel.reference(*case.fresh()))


@built
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("network", ["lstm", "gru_reset_after", "rnn_tanh"])
def test_cells_of_networks(
    network: str, dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel "cell", in each of the steps of backward passes."""
    cell, steps = compiled_cell.CELL, []

    class Both:
        bound = staticmethod(cell.bound)

        def __call__(self, of: Any, planes: Any, arrays: Any, first: int, last: int) -> bool:
            names = ("after", "waiting", "direct")
            other = replace(arrays, **{name: getattr(arrays, name).clone() for name in names})
            cell.reference(of, planes, other, first, last)
            done = cell(of, planes, arrays, first, last)
            scale = 1e-12 if dtype == torch.float64 else 1e-4
            parts = slice(first, last)
            for one, two in ((arrays.after.view(-1), other.after.view(-1)), (arrays.direct, other.direct)):
                torch.testing.assert_close(one[parts], two[parts], rtol=scale, atol=scale)
            rows = slice(0, last - first)
            torch.testing.assert_close(arrays.waiting[rows], other.waiting[rows], rtol=scale, atol=scale)
            steps.append(last - first)
            return done

    monkeypatch.setattr(compiled_cell, "CELL", Both())
    program = compile_program(read_onnx(write_network(network, tmp_path)), dtype=dtype)
    data = torch.randn(2, STEPS * FEATURES, generator=torch.Generator().manual_seed(0))
    region = ball_region(data, 0.05, torch.inf).to("cpu", dtype)
    bounds = bound_region(program, region, RoundingModel(dtype, deployed=False), BoundOptions(lookback=None))
    bounds.minimum(Objective(torch.eye(program.outputs[0].size, dtype=dtype).expand(2, -1, -1)))
    assert steps


@built
def test_a_kernel_that_differs_is_caught() -> None:
    image = KERNELS["image"]
    functions = image.bound()
    assert functions
    for case in CASES["image"]():
        low, high = image.compiled(functions, *case.fresh())
        with pytest.raises(AssertionError):
            case.compare((low + 1e-9, high), image.reference(*case.fresh()))


def test_within_references_nothing_is_compiled() -> None:
    with references():
        assert all(kernel.bound() is None for kernel in KERNELS.values())


def test_a_name_is_given_once() -> None:
    with pytest.raises(ValueError, match="registered already"):
        Kernel("image", *[lambda: None] * 2, {})  # pyright: ignore[reportArgumentType, reportCallIssue]


# --- the loader ---------------------------------------------------------------------------------------


def _found(monkeypatch: pytest.MonkeyPatch, place: Path | None, mode: str | None = None) -> loader.Library:
    """What is found where the only library is at `place`."""
    monkeypatch.setattr(loader, "_places", lambda: iter([] if place is None else [place]))
    if mode is None:
        monkeypatch.delenv(loader.SWITCH, raising=False)
    else:
        monkeypatch.setenv(loader.SWITCH, mode)
    return loader.library.__wrapped__()


@built
def test_a_library_of_other_sources_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    path = loader.library().path
    assert _found(monkeypatch, path).handle is not None
    monkeypatch.setattr(loader, "build_hash", lambda _root: "0" * 16)
    refused = _found(monkeypatch, path)
    assert refused.handle is None
    assert "other C sources" in refused.reason
    assert "pip install --editable ." in refused.reason


def test_a_file_that_is_no_library_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "kernels.so"
    path.write_bytes(b"no library")
    refused = _found(monkeypatch, path)
    assert refused.handle is None
    assert str(path) in refused.reason


def test_the_switch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Missing: one line on stderr, once. Off: silence. Required or nonsense: an error with the reason."""
    told = contract._told  # pyright: ignore[reportPrivateUsage]
    missing = _found(monkeypatch, None)
    for _ in range(2):
        assert told(missing).handle is None
    (line,) = capsys.readouterr().err.splitlines()
    assert "no kernels.so" in line
    assert told(_found(monkeypatch, None, "off")).reason == "RECERT_KERNELS=off"
    assert not capsys.readouterr().err
    for mode in ("require", "requir"):
        with pytest.raises(KernelsRequired, match=r"RECERT_KERNELS|no kernels\.so"):
            told(_found(monkeypatch, None, mode))


def test_the_status_needs_no_torch() -> None:
    code = (
        "import sys; from relaxations.kernels.status import kernel_status; "
        "print(kernel_status()); assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    for mode, words in (("off", "not in use (RECERT_KERNELS=off)"), ("", str(kernel_status()))):
        environment = {**os.environ, loader.SWITCH: mode}
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert words in done.stdout


@built
def test_the_library_says_what_it_was_built_from() -> None:
    path = loader.library().path
    built_from = ctypes.c_char_p.in_dll(ctypes.CDLL(str(path)), "recert_build").value
    assert built_from == loader.build_hash(ROOT).encode()
    assert kernel_status().in_use
    assert kernel_status().instructions in ("x86-64-v3", "avx2", "baseline")
