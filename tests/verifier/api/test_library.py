"""`import recert`: what goes in, what comes out, and that the examples of its docstrings run."""

from __future__ import annotations

import ast
import doctest
import importlib
import pickle
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

import recert
import verifier
import verifier.api
from parsers.errors import Parameter, RecertError, UnsupportedModel
from tests.support.command_line import FEATURES, STEPS, tiny_lstm
from verifier.cli.process import option

MODULES = [
    importlib.import_module(f"verifier.api.{m.name}") for m in pkgutil.iter_modules(verifier.api.__path__)
]
ROOT = Path(verifier.__file__).parents[1]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> recert.Network:
    path = tmp_path_factory.mktemp("library") / "tiny.onnx"
    onnx.save(tiny_lstm(), path)
    return recert.load(path)


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(4, STEPS, FEATURES)).astype(np.float32)


def label(network: recert.Network, x: np.ndarray) -> int:
    return int(recert.evaluate(network, x)["logits"].argmax())


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__)
def test_examples_run(module: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = doctest.testmod(module, extraglobs={"recert": recert, "np": np})  # type: ignore[arg-type]
    assert not found.failed


def test_every_function_has_a_short_example() -> None:
    for name in verifier.api.__all__:
        if name[0].islower():
            (example,) = doctest.DocTestFinder(recurse=False).find(getattr(recert, name))
            assert 1 <= len(example.examples) <= 3, name


def test_names_are_those_of_the_api() -> None:
    assert getattr(recert, "__all__") is verifier.api.__all__  # noqa: B009
    assert set(verifier.api.__all__) <= set(dir(recert))
    assert recert.__version__ == verifier.__version__
    with pytest.raises(AttributeError, match="no attribute 'Network2'"):
        getattr(recert, "Network2")  # noqa: B009


def test_importing_imports_nothing_heavy() -> None:
    heavy = (
        "import recert, sys; print([m for m in ('torch', 'onnx', 'numpy', 'verifier') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"


def test_one_label_one_outcome(network: recert.Network, x: np.ndarray) -> None:
    own = label(network, x[0])
    found = recert.certify(network, recert.ball(x[0], 1e-4), own)
    assert (found.verdict, found.finished, found.reason) == (recert.Verdict.certified, True, "")
    assert found.lower is not None
    assert found.upper is not None
    assert 0 < found.lower <= found.upper
    assert found.stats.seconds > 0
    assert re.fullmatch(r"Outcome\(certified, margin \S+ to \S+, by [a-z-]+, \d+\.\d\d s\)", repr(found))
    wrong = recert.certify(network, recert.ball(x[0], 1e-4), (own + 1) % 3)
    assert wrong.verdict is recert.Verdict.misclassified
    assert f"predicted {own}" in repr(wrong)


@pytest.mark.parametrize("form", ["array", "batch axis", "tensor", "dict", "float64"])
def test_forms_of_a_sample(network: recert.Network, x: np.ndarray, form: str) -> None:
    forms = {
        "array": x[0],
        "batch axis": x[0][:, None],
        "tensor": torch.tensor(x[0], requires_grad=True),
        "dict": {"x": x[0]},
        "float64": x[0].astype(np.float64),
    }
    expected = recert.certify(network, recert.ball(x[0], 0.02), label(network, x[0]))
    found = recert.certify(network, recert.ball(forms[form], 0.02), label(network, x[0]))
    assert (found.verdict, found.lower) == (expected.verdict, expected.lower)


def test_several_samples_of_several_lengths(network: recert.Network, x: np.ndarray) -> None:
    some = [x[0], x[1][:2], x[2]]
    labels = [label(network, s) for s in some]
    found = recert.certify(network, recert.ball(some, [1e-4, 1e-4, 50.0]), labels)
    assert [o.verdict.value for o in found] == ["certified", "certified", "broken"]
    assert [o.index for o in found] == [0, 1, 2]
    assert recert.certify(network, recert.ball(x, 1e-4), np.array([label(network, s) for s in x]))
    with pytest.raises(recert.BadInput, match="holds 4 samples; there are 2"):
        recert.certify(network, recert.ball(x, 1e-4), [0, 1])


def test_a_counterexample_is_of_another_class(network: recert.Network, x: np.ndarray) -> None:
    own = label(network, x[0])
    found = recert.certify(network, recert.ball(x[0], 2.0, p=2), own)
    assert found.verdict is recert.Verdict.broken
    assert found.method == "pgd"
    assert found.counterexample is not None
    assert found.counterexample["x"].dtype == np.float32
    assert np.linalg.norm(found.counterexample["x"].reshape(x[0].shape) - x[0]) <= 2.0
    assert recert.evaluate(network, found.counterexample)["logits"].argmax() != own


def test_only_some_steps_move(network: recert.Network, x: np.ndarray) -> None:
    own = label(network, x[0])
    found = recert.certify(network, recert.ball(x[0], 50.0, steps=[0, -1], features=1), own)
    assert found.counterexample is not None
    moved = found.counterexample["x"][:, 0] != x[0]
    assert not moved[:, 0].any()
    assert not moved[1:-1].any()
    with pytest.raises(recert.BadInput, match="steps 7 does not exist"):
        recert.certify(network, recert.ball(x[0], 0.1, steps=7), own)


def test_boxes(network: recert.Network, x: np.ndarray) -> None:
    own = label(network, x[0])
    as_ball = recert.certify(network, recert.ball(x[0], 0.01), own)
    as_box = recert.certify(network, recert.box(x[0] - 0.01, x[0] + 0.01), own)
    assert as_box.verdict is as_ball.verdict
    assert as_box.lower == pytest.approx(as_ball.lower, rel=1e-4)
    assert repr(recert.box(x[0], x[0])) == f"Box([{STEPS}, {FEATURES}])"


def test_radius_encloses(network: recert.Network, x: np.ndarray) -> None:
    own = label(network, x[0])
    found = recert.radius(network, x[0], own, tolerance=0.1)
    assert found.lower is not None
    assert found.upper is not None
    assert 0 < found.lower < found.upper
    assert found.counterexample is not None
    distance = np.abs(found.counterexample["x"][:, 0] - x[0]).max()
    assert distance == pytest.approx(found.upper, rel=1e-6)
    around = recert.ball(x[:2], 0.05, p=2)
    first, _ = recert.radius(network, around, [label(network, s) for s in x[:2]], tolerance=0.1)
    assert first.lower is not None
    assert first.lower > found.lower


def test_bounds_hold(network: recert.Network, x: np.ndarray) -> None:
    found = recert.bounds(network, recert.ball(x[0], 0.05))
    rng = np.random.default_rng(1)
    for _ in range(50):
        near = x[0] + rng.uniform(-0.05, 0.05, x[0].shape).astype(np.float32) * 0.999
        y = recert.evaluate(network, near)["logits"][0]
        assert bool(((found.lower <= y) & (y <= found.upper)).all())
    rows = recert.bounds(network, recert.ball(x[:2], 0.05), [[1.0, -1.0, 0.0]])
    assert rows.lower.shape == rows.upper.shape == (2, 1)
    assert rows.upper[0, 0] <= found.upper[0] - found.lower[1]
    with pytest.raises(recert.BadInput, match=r"'bab': give one of .*, crown, crown-octagon$"):
        recert.bounds(network, recert.ball(x[0], 0.05), method="bab")


def test_bytes_and_fixed_shapes(network: recert.Network, x: np.ndarray) -> None:
    again = recert.load(network.path.read_bytes(), shapes={"time": STEPS})
    assert f"x [{STEPS}, 1, {FEATURES}] float32" in repr(again)
    assert recert.inspect(again).cells[0].length == STEPS
    assert recert.certify(again, recert.ball(x[0], 1e-4), label(again, x[0])).verdict == "certified"
    with pytest.raises(recert.BadInput, match="do not fit input"):
        recert.certify(again, recert.ball(x[0][:2], 1e-4), 0)
    with pytest.raises(recert.UnboundDimension, match=r"shapes=\{'time': 20\}"):
        recert.inspect(network)
    with pytest.raises(recert.BadInput, match="nothing in the model is called 'tme'"):
        recert.load(network.path, shapes={"tme": 3})


def test_several_inputs(tmp_path: Path) -> None:
    nodes = [helper.make_node("Concat", ["a", "b"], ["ab"], axis=1), helper.make_node("Tanh", ["ab"], ["y"])]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 1]) for n in "ab"]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])
    graph = helper.make_graph(nodes, "pair", values, [output])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "m"
    )
    pair, point = recert.load(tmp_path / "m"), {"a": [[1.0]], "b": [[0.0]]}
    with pytest.raises(recert.BadInput, match="give a dict"):
        recert.certify(pair, recert.ball([[1.0]], 0.1), 0)
    with pytest.raises(recert.BadInput, match=r"say which one moves: eps=\{'a': 0.1\}"):
        recert.certify(pair, recert.ball(point, 0.1), 0)
    assert recert.certify(pair, recert.ball(point, {"a": 0.9}), 0).verdict == "certified"
    assert recert.certify(pair, recert.ball(point, {"b": 1.1}), 0).verdict == "broken"


def test_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = recert.answer("models/queries/vowels_gru_broken_v2.vnnlib", {"N": "models/vowels_gru.onnx"})
    assert found.verdict == "sat"
    assert found.counterexample is not None
    gru = recert.load("models/vowels_gru.onnx")
    inputs = next(iter(found.counterexample.values()))
    outputs = recert.evaluate(gru, inputs)["logits"]
    np.testing.assert_array_equal(outputs.reshape(-1), [*found.counterexample.values()][-1].reshape(-1))
    assert recert.answer("models/queries/vowels_gru_robust_v1.vnnlib", gru).verdict == "unsat"


def test_methods_and_labels_that_do_not_exist(network: recert.Network, x: np.ndarray) -> None:
    with pytest.raises(recert.BadInput, match="method='magic': give one of interval, "):
        recert.certify(network, recert.ball(x[0], 0.1), 0, method="magic")
    with pytest.raises(recert.BadInput, match="label 7 of sample 0"):
        recert.certify(network, recert.ball(x[0], 0.1), 7)


# --- each reader's own words -------------------------------------------------------------------------------


def test_parameters_are_named_in_the_readers_words() -> None:
    error = recert.BadInput("give its size, e.g. ", Parameter("shapes", {"time": 20, "x": (1, 20)}), ".")
    assert str(error) == "give its size, e.g. shapes={'time': 20, 'x': (1, 20)}."
    assert error.worded(option) == "give its size, e.g. --bind time=20 --bind x=1x20."
    assert option(Parameter("clip", (0.0, 1.0))) == "--clip 0 1"
    assert option(Parameter("output", "logits")) == "--output logits"


@pytest.mark.parametrize(
    "error", [recert.BadInput("a ", Parameter("clip", (0.0, 1.0)), " b"), UnsupportedModel(["one", "two"])]
)
def test_errors_can_be_sent(error: RecertError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))


def texts(path: Path) -> list[str]:
    """String literals, without docstrings, which are for who reads the code."""
    tree = ast.parse(path.read_text())
    documented = [n for n in ast.walk(tree) if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef)]
    docs = [n.body[0].value for n in documented if n.body and isinstance(n.body[0], ast.Expr)]
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node not in docs]
    return [node.value for node in found if isinstance(node.value, str)]


def test_options_are_spoken_of_by_the_command_line_alone() -> None:
    files = [p for package in ("parsers", "relaxations", "verifier") for p in (ROOT / package).rglob("*.py")]
    below = [path for path in files if "cli" not in path.parts]
    told = [(path.name, text) for path in below for text in texts(path)]
    commands = [(name, re.sub(r"`[^`]*`", "", text)) for name, text in told]  # whole ones, in backticks
    assert not [found for found in commands if re.search(r"--[a-z]", found[1])]
