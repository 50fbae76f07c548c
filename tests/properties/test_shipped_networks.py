"""The shipped networks, data and queries are what models/README.md says they are."""

from __future__ import annotations

import csv
import importlib.util
import itertools
import re
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import pytest
import vnnlib

from tests.support.paths import MODELS

Array = np.ndarray

QUERIES = MODELS / "queries"
ROW = re.compile(
    r"^\| `(?P<file>\w+\.onnx)` \| [^|]+ \| (?P<shape>[^|]+) \| (?P<exporter>\w+) \| (?P<opset>\d+) \| "
    r"(?P<parameters>\d+) \| (?P<correct>\d+) of (?P<total>\d+) \|$",
    re.MULTILINE,
)
STATED = {row["file"]: row for row in ROW.finditer((MODELS / "README.md").read_text())}
with (QUERIES / "expected.csv").open(newline="") as file:
    EXPECTED = [(row["network"], row["query"], row["verdict"]) for row in csv.DictReader(file)]
SAT = [(network, query) for network, query, verdict in EXPECTED if verdict == "sat"]
UNSAT = [(network, query) for network, query, verdict in EXPECTED if verdict == "unsat"]


@cache
def session(name: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(MODELS / name, options)


@cache
def data(network: str) -> dict[str, Array]:
    name = "mnist_rows" if network.startswith("mnist") else "vowels"
    with np.load(MODELS / f"{name}_test.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def samples(network: str) -> list[tuple[Array, int]]:
    """Test samples that fit the file, each at its own length with batch size 1, and their labels."""
    arrays, declared = data(network), session(network).get_inputs()[0].shape
    lengths = arrays.get("lengths", np.full(len(arrays["inputs"]), arrays["inputs"].shape[1]))
    time_first = declared[1] == 1
    pairs = []
    for x, label, length in zip(arrays["inputs"], arrays["labels"], lengths, strict=True):
        x = x[:length, None] if time_first else x[None, :length]
        if all(isinstance(d, str) or d == size for d, size in zip(declared, x.shape, strict=True)):
            pairs.append((x, int(label)))
    return pairs


def logits(network: str, x: Array) -> Array:
    return np.asarray(session(network).run(["logits"], {"x": x})[0])


# --- networks ----------------------------------------------------------------------------------------


def test_the_readme_lists_every_file() -> None:
    assert set(STATED) == {path.name for path in MODELS.glob("*.onnx")}
    assert {network for network, _, _ in EXPECTED} <= set(STATED)


@pytest.mark.parametrize("network", STATED)
def test_the_stated_accuracy_is_reproduced(network: str) -> None:
    pairs = samples(network)
    correct = sum(int(logits(network, x).argmax()) == label for x, label in pairs)
    assert (correct, len(pairs)) == (int(STATED[network]["correct"]), int(STATED[network]["total"]))


@pytest.mark.parametrize("network", STATED)
def test_the_file_is_as_stated(network: str) -> None:
    model, stated = onnx.load(MODELS / network), STATED[network]
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", int(stated["opset"]))]
    assert [str(d) for d in session(network).get_inputs()[0].shape] == stated["shape"].split(", ")
    assert [value.name for value in session(network).get_outputs()] == ["logits"]
    floats = sum(
        int(np.prod(t.dims)) for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT
    )
    # dynamo adds a few scalar and initial-state constants
    assert 0 <= floats - int(stated["parameters"]) <= (stated["exporter"] == "dynamo") * 40
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)


@pytest.mark.parametrize("network", [name for name in STATED if name.endswith("_dynamo.onnx")])
def test_both_exports_compute_the_same(network: str) -> None:
    traced = network.replace("_15_dynamo", "").replace("_dynamo", "")
    for x, _ in samples(network)[:40]:
        np.testing.assert_allclose(logits(network, x), logits(traced, x), atol=2e-5)


@pytest.mark.parametrize(
    "network", [name for name, row in STATED.items() if row["shape"].startswith("batch")]
)
def test_a_batch_is_its_samples(network: str) -> None:
    pairs = samples(network)
    alike = [x for x, _ in pairs if x.shape == pairs[0][0].shape][:4]
    each = [logits(network, x) for x in alike]
    np.testing.assert_allclose(
        logits(network, np.concatenate(alike)), np.concatenate(each), rtol=1e-5, atol=2e-5
    )


# --- data --------------------------------------------------------------------------------------------


def test_vowels_are_padded_standardised_sequences() -> None:
    arrays = data("vowels")
    inputs, labels, lengths = arrays["inputs"], arrays["labels"], arrays["lengths"]
    assert (inputs.shape, inputs.dtype) == ((370, 29, 12), np.float32)
    assert (lengths.dtype, lengths.min(), lengths.max()) == (np.int64, 7, 29)
    assert (labels.dtype, set(labels)) == (np.int64, set(range(9)))
    inside = np.arange(29) < lengths[:, None]
    assert (inputs[~inside] == 0).all()
    assert inputs[inside].any(axis=1).all()
    assert np.abs(inputs[inside].mean(axis=0)).max() < 0.3  # the training set's units, so only about 0 and 1
    assert np.abs(inputs[inside].std(axis=0) - 1).max() < 0.3


def test_images_are_pixels_in_the_unit_interval() -> None:
    arrays = data("mnist")
    assert (arrays["inputs"].shape, arrays["inputs"].dtype) == ((500, 28, 28), np.float32)
    assert (arrays["labels"].dtype, list(np.bincount(arrays["labels"]))) == (np.int64, [50] * 10)
    np.testing.assert_array_equal(np.round(arrays["inputs"] * 255) / np.float32(255), arrays["inputs"])
    assert (arrays["inputs"].min(), arrays["inputs"].max()) == (0, 1)


@pytest.mark.parametrize("name", ["vowels", "mnist"])
def test_a_prefix_is_balanced(name: str) -> None:
    labels = data(name)["labels"]
    classes = labels.max() + 1
    assert (labels[: 2 * classes] == np.arange(2 * classes) % classes).all()


def test_the_folder_is_small() -> None:
    command = ["git", "ls-files", "--cached", "models"]
    listing = subprocess.run(command, cwd=MODELS.parent, capture_output=True, text=True, check=False)
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    assert sum((MODELS.parent / name).stat().st_size for name in listing.stdout.split()) < 3_000_000


# --- queries -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Query:
    """`lower`, `upper` in the declared shape; the violation as an or of ands of Y_a ≥ Y_b; all decimals."""

    lower: Array
    upper: Array
    violation: list[list[tuple[int, int]]]
    lexemes: list[str]


def as_version_2(text: str, shape: list[int], classes: int) -> str:
    """A 1.0 query as 2.0 text: elements counted in row-major order."""

    def element(match: re.Match[str]) -> str:
        index = np.unravel_index(int(match[1]), shape)
        return f"X[{','.join(str(int(i)) for i in index)}]"

    body = re.sub(r"^\(declare-const .*$", "", text, flags=re.MULTILINE)
    body = re.sub(r"\bY_(\d+)", r"Y[0,\1]", re.sub(r"\bX_(\d+)", element, body))
    declared = ",".join(map(str, shape))
    return (
        f"(vnnlib-version <2.0>)\n(declare-network N (declare-input X float32 [{declared}])"
        f" (declare-output Y float32 [1,{classes}]))\n{body}"
    )


def output(expression: vnnlib.ArithExpr) -> int:
    assert isinstance(expression, vnnlib.Var)
    assert expression.name == "Y"
    return expression.indices[1]


@cache
def query(network: str, name: str) -> Query:
    text = (QUERIES / name).read_text()
    if name.endswith("_v1.vnnlib"):
        count, classes = (len(re.findall(rf"declare-const {letter}_", text)) for letter in "XY")
        free: list[int | str] = [
            1 if d == "batch" else d for d in session(network).get_inputs()[0].shape
        ]  # at most the time is left
        known = int(np.prod([d for d in free if isinstance(d, int)]))
        text = as_version_2(text, [d if isinstance(d, int) else count // known for d in free], classes)
    parsed = vnnlib.parse_query_string(text)
    (declared,) = (network.inputs[0] for network in parsed.networks)
    lower, upper = (np.full(declared.shape, np.nan) for _ in range(2))
    conjuncts, lexemes = [], []
    for assertion in parsed.assertions:
        cases = assertion.expr.to_dnf()
        if str(cases[0][0].lhs).startswith("X"):
            ((bound,),) = cases
            side = lower if isinstance(bound, vnnlib.GreaterEqual) else upper
            assert isinstance(bound, (vnnlib.GreaterEqual, vnnlib.LessEqual))
            assert isinstance(bound.lhs, vnnlib.Var)
            side[tuple(bound.lhs.indices)] = bound.rhs.to_linear_expr().constant
            lexemes.append(str(bound.rhs).strip())
        else:
            assert all(isinstance(part, vnnlib.GreaterEqual) for case in cases for part in case)
            conjuncts.append([[(output(part.lhs), output(part.rhs)) for part in case] for case in cases])
    violation = [list(itertools.chain(*choice)) for choice in itertools.product(*conjuncts)]
    return Query(lower, upper, violation, lexemes)


def margin(asked: Query, y: Array) -> float:
    """By how much `y` (classes,) violates."""
    return float(max(min(y[a] - y[b] for a, b in case) for case in asked.violation))


@pytest.fixture(scope="module")
def proof() -> ModuleType:
    """models/proof.py, a script and no part of a package."""
    spec = importlib.util.spec_from_file_location("shipped_proof", MODELS / "proof.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def proved(proof: ModuleType, network: str, asked: Query) -> float:
    """Upper bound of `margin` on the box, from the weights of the traced export."""
    weights = proof.read(MODELS / network.replace("_15_dynamo", "").replace("_dynamo", ""))
    lower, upper = (side.squeeze(1 if side.shape[1] == 1 else 0) for side in (asked.lower, asked.upper))
    labels = {b for case in asked.violation for _, b in case}
    bounds = {b: proof.differences(weights, lower, upper, b) for b in labels}
    return float(max(min(bounds[b][a] for a, b in case) for case in asked.violation))


def test_every_query_has_a_verdict() -> None:
    assert {name for _, name, _ in EXPECTED} == {path.name for path in QUERIES.glob("*.vnnlib")}
    kinds = {(name[-8], verdict) for _, name, verdict in EXPECTED}
    assert kinds == {("1", "sat"), ("1", "unsat"), ("2", "sat"), ("2", "unsat")}


@pytest.mark.parametrize(("network", "name"), [(network, name) for network, name, _ in EXPECTED])
def test_the_query_fits_its_network(network: str, name: str) -> None:
    asked, declared = query(network, name), session(network).get_inputs()[0].shape
    assert all(isinstance(d, str) or d == n for d, n in zip(declared, asked.lower.shape, strict=True))
    assert (asked.lower <= asked.upper).all()
    assert (asked.lower < asked.upper).any()
    assert all(Decimal(lexeme) == Decimal(float(np.float32(float(lexeme)))) for lexeme in asked.lexemes)


@pytest.mark.parametrize(("network", "name"), SAT)
def test_counterexamples_replay(network: str, name: str) -> None:
    asked = query(network, name)
    with np.load(QUERIES / "counterexamples.npz", allow_pickle=False) as points:
        x = points[name.removesuffix(".vnnlib")]
    assert x.dtype == np.float32
    assert (asked.lower < x).all()
    assert (x < asked.upper).all()
    assert margin(asked, logits(network, x)[0]) > 0.25


@pytest.mark.parametrize(("network", "name"), UNSAT)
def test_no_sample_of_an_unsat_box_violates(network: str, name: str) -> None:
    asked = query(network, name)
    rng = np.random.default_rng(0)
    for choose in (rng.uniform, lambda l, u: np.where(rng.random(l.shape) < 0.5, l, u)):
        for _ in range(10):
            x = choose(asked.lower, asked.upper).astype(np.float32)
            assert margin(asked, logits(network, x)[0]) < -0.25


@pytest.mark.parametrize(("network", "name"), [pair for pair in UNSAT if "conjunction" in pair[1]])
def test_a_conjunction_read_as_a_disjunction_would_be_sat(network: str, name: str) -> None:
    asked = query(network, name)
    centre = ((asked.lower + asked.upper) / 2).astype(np.float32)
    y = logits(network, centre)[0]
    assert max(y[a] - y[b] for case in asked.violation for a, b in case) > 0.25


TRACED_UNSAT = [(network, name) for network, name in UNSAT if not network.endswith("_dynamo.onnx")]


@pytest.mark.parametrize(("network", "name"), TRACED_UNSAT)
def test_unsat_is_proved_from_the_written_query(proof: ModuleType, network: str, name: str) -> None:
    assert proved(proof, network, query(network, name)) < -0.25


@pytest.mark.parametrize(
    ("network", "name"),
    [(n, q) for n, q in SAT if n in ("vowels_lstm.onnx", "vowels_gru.onnx", "vowels_rnn.onnx")],
)
def test_the_proof_does_not_exclude_a_counterexample(proof: ModuleType, network: str, name: str) -> None:
    """Around the point itself, where its bounds are tight, they must lie above what onnxruntime computes."""
    asked = query(network, name)
    with np.load(QUERIES / "counterexamples.npz", allow_pickle=False) as points:
        x = points[name.removesuffix(".vnnlib")].astype(np.float64)
    achieved = margin(asked, logits(network, x.astype(np.float32))[0])
    for radius in (0.0, 1e-3, 1e-2):
        near = Query(x - radius, x + radius, asked.violation, [])
        bound = proved(proof, network, near)
        assert achieved - 1e-4 <= bound
        if radius == 0:
            assert bound <= achieved + 1e-4
