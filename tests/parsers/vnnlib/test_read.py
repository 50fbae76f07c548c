"""Reading query files: what is accepted, and what is refused with one line that says where and what to do."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import numpy as np
import pytest

from parsers.errors import BadQuery
from parsers.query.layout import PRODUCTS
from parsers.vnnlib import read_vnnlib, text
from parsers.vnnlib.read import specification
from tests.support.paths import SHARED

COMPETITION = SHARED / "vnncomp"
FILES = sorted(COMPETITION.glob("*/*.vnnlib"))

NETWORK = "(declare-network N (declare-input X float32 [2]) (declare-output Y float32 [2]))\n"
BOX = "(assert (and (>= X[0] 0.0) (<= X[0] 1.0) (>= X[1] 0.0) (<= X[1] 1.0)))\n"
HEADER = "(vnnlib-version <2.0>)\n" + NETWORK + BOX


def read(query: str):
    return specification(text.decode(query.encode()))


@pytest.mark.skipif(not FILES, reason="the competition's files are not here")
@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_competition_files(path: Path) -> None:
    begin = time.process_time()
    spec = read_vnnlib(path)
    assert spec.cases
    assert time.process_time() - begin < 2
    names = set(path.read_text().replace("(", " ").replace(")", " ").split())
    if spec.version == "1.0":
        assert spec.inputs[0].size == sum(name.startswith("X_") for name in names)
        assert spec.outputs[0].size == sum(name.startswith("Y_") for name in names)


@pytest.mark.skipif(not FILES, reason="the competition's files are not here")
def test_both_versions_of_one_property_agree() -> None:
    old = read_vnnlib(COMPETITION / "acasxu_nnenum" / "prop_3.vnnlib")
    new = read_vnnlib(COMPETITION / "acasxu_nnenum" / "prop_3_v2.vnnlib")
    for a, b in zip(old.cases, new.cases, strict=True):
        assert a.boxes["X"].lower.tolist() == b.boxes["X"].lower.reshape(-1).tolist()
        assert a.boxes["X"].upper.tolist() == b.boxes["X"].upper.reshape(-1).tolist()
        rows = [[c.coefficients["Y"].reshape(-1).tolist() for c in case.constraints] for case in (a, b)]
        assert rows[0] == rows[1]


def test_large_files_are_quick() -> None:
    """Declarations of 3,072 inputs, and 5,000 alternatives with a region each."""
    size = 3072
    wide = [f"(declare-const X_{i} Real)" for i in range(size)] + [
        f"(declare-const Y_{i} Real)" for i in range(100)
    ]
    wide += [f"(assert (<= X_{i} 0.{i + 5000}1))\n(assert (>= X_{i} 0.{i + 1000}1))" for i in range(size)]
    wide += ["(assert (or " + "".join(f"(and (>= Y_{i} Y_0))" for i in range(1, 100)) + "))"]
    many = ["(declare-const X_0 Real)(declare-const Y_0 Real)(assert (or"]
    many += [f"(and (>= X_0 {i / 5000}) (<= X_0 {(i + 1) / 5000}) (<= Y_0 {i / 7}))" for i in range(5000)] + [
        "))"
    ]
    for lines, cases in ((wide, 99), (many, 5000)):
        begin = time.process_time()
        assert len(read("\n".join(lines)).cases) == cases
        assert time.process_time() - begin < 6


def test_gzip_is_recognised_by_content(tmp_path: Path) -> None:
    for name in ("query.vnnlib.gz", "query.vnnlib"):
        path = tmp_path / name
        path.write_bytes(gzip.compress((HEADER + "(assert (<= Y[0] 0.5))").encode()))
        assert len(read_vnnlib(path).cases) == 1


@pytest.mark.parametrize(
    "variant",
    [
        HEADER.replace("\n", "\r\n") + "(assert (<= Y[0] 0.5))",
        "\ufeff" + HEADER + "(assert (<= Y[0] 0.5))",
        "; größer\n" + HEADER + "; Y ≤ ½ (((\n(assert (<= Y[0] 0.5)) ; end",
        HEADER.replace("(assert", "( assert").replace("[0]", "[ 0 ]") + "(\nassert\t( <= Y [0] 0.5 ) )",
        HEADER.replace("2.0", "2.1") + "(assert (<= Y[0] 0.5))",
        HEADER + "(assert " + "(and " * 190 + "(<= Y[0] 0.5)" + ")" * 190 + ")",
    ],
    ids=["crlf", "bom", "comments", "blanks", "minor version", "deep"],
)
def test_harmless_variants(variant: str, capfd: pytest.CaptureFixture[str]) -> None:
    spec = read(variant)
    assert [c.constant for c in spec.cases[0].constraints] == [-0.5]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        # what the parser would misread in silence
        (HEADER + "(assert (<= Y[0.9] 0.5))", r"line 4: '\[0.9\]' is no list of indices"),
        (HEADER + "(assert (<= Y[-1] 0.5))", r"line 4: '\[-1\]' is no list of indices"),
        (HEADER.replace("Y float32 [2]", "Y float32 [2.7]"), r"line 2: '\[2.7\]' is no list of indices"),
        (HEADER + "(assert (<= Y[0] 0.5))\n\0(assert (<= Y[1] 0.5))", "line 5: byte 0x00"),
        (HEADER.replace("X float32", "X floaat32"), "element type of X is not supported; use one of float16"),
        (HEADER.replace("X float32", "X bfloat16"), "element type of X is not supported"),
        (
            HEADER + "(assert " + "(and " * 99_999 + "(<= Y[0] 0.5)" + ")" * 99_999 + ")",
            "line 4: nested more than 200",
        ),
        (
            HEADER.replace("network N", "networkN"),
            r"line 2: '\(declare-networkN' is no command; put a blank after",
        ),
        ("; old\r" + HEADER, "line 1: a carriage return without line feed; save it with Unix line ends"),
        (
            HEADER.replace("X float32 [2]", "X float32 [1000000000000]"),
            "X is declared with 1,000,000,000,000 elements",
        ),
        # what it refuses
        (HEADER + "(assert (<= Y[0] 0.5)", r"ends before 1 `\(`"),
        (HEADER + "(assert (<= Y[0] 0.5)))", r"line 4: `\)` closes nothing"),
        (HEADER + "(assert (<= Y[0] 1e-3))", "line 4: syntax error .*1e-3 as 0.001"),
        (HEADER + "(assert (<= Y[0] 1))", "line 4: '1': .* write it with a decimal point"),
        (HEADER + "(assert (<= Y[2] 1.0))", r"line 4: 'Y\[2\]': Index out of bounds"),
        (HEADER + "(assert (<= Y[0,0] 1.0))", "line 4: 'Y"),
        (HEADER + "(assert (<= Y 1.0))", "line 4: 'Y"),
        (HEADER + "(assert (<= Z[0] 1.0))", "line 4: 'Z': Undeclared variable"),
        (HEADER + "(assert (not (<= Y[0] 1.0)))", r"line 4: syntax error in `\(assert \(not"),
        (HEADER + "(assert (<= Y[0] 1" + "0" * 400 + ".0))", "out of range"),
        (HEADER + "(assert (<= Y[99999999999999999999] 1.0))", "out of range"),
        ("(vnnlib-version <2.0>)\n" + NETWORK, "syntax error"),
        ("(vnnlib-version 2.0)\n" + NETWORK, "line 1: the version is not readable"),
        ("(vnnlib-version <3.1>)\n" + NETWORK + BOX, "version 3.1 of VNN-LIB is not supported"),
        ("", "is empty"),
        ("; nothing\n", "is empty"),
        ("\x08\x07\x12\x07pytorch", "line 1: byte 0x08"),
        # what expands too far
        (
            HEADER + f"(assert (<= (* {'X[0] ' * 17}) 0.5))",
            "line 4: a product has a degree above 16; lower it",
        ),
        (
            HEADER + "(assert (<= (*" + 2 * f"(* {8 * '(+ X[0] X[1] Y[0] Y[1])'})" + ") 0.5))",
            "line 4: a product expands to more than 10,000 terms",
        ),
        # relations between networks that do not hold
        (
            HEADER.replace(
                BOX,
                "(declare-network M (equal-to N) (declare-input A float32 [3])"
                " (declare-output B float32 [2]))\n" + BOX,
            ),
            "line 3: 'N': .*shape",
        ),
    ],
)
def test_refusals(query: str, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadQuery, match=message) as caught:
        read(query)
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 700
    assert capfd.readouterr() == ("", "")


def test_all_unsupported_things_are_listed() -> None:
    inputs = "".join(f"(declare-input A{i} string [2])" for i in range(7))
    with pytest.raises(BadQuery, match=r"type of A0 .*type of A1 .*type of A4 .*; and 2 more"):
        read(HEADER.replace("(declare-output", inputs + "(declare-output"))


@pytest.mark.parametrize(
    ("query", "missing"),
    [
        (
            "(vnnlib-version <2.0>)\n" + NETWORK + "(assert (<= X[0] 0.5))",
            ["X[0], X[1] have no lower bound; add `(assert (>= X[0] …))`; X[1] has no upper bound"],
        ),
        (
            HEADER.replace("(>= X[1] 0.0)", "(or (>= X[1] 0.0) (<= Y[0] 0.5))"),
            ["", "X[1] has no lower bound; add `(assert (>= X[1] …))`"],
        ),
    ],
)
def test_a_region_without_end_is_searched_in_part(query: str, missing: list[str]) -> None:
    """Such a case says what it lacks, and its boxes lie within the bounds that are there."""
    cases = read(query).cases
    assert [bool(case.unbounded) for case in cases] == [bool(start) for start in missing]
    for case, start in zip(cases, missing, strict=True):
        assert case.unbounded.startswith(start)
        for boxes in (case.boxes, case.witnesses):
            assert boxes is not None
            assert np.isfinite([boxes["X"].lower, boxes["X"].upper]).all()
            assert (boxes["X"].lower < boxes["X"].upper).all()
            assert boxes["X"].upper[0] <= 1


SEVERAL = """(vnnlib-version <2.0>)
(declare-network N
  (declare-input X float32 [2]) (declare-hidden H float32 [3] "a;(b") (declare-output Y float32 []))
(declare-network M (equal-to N)
  (declare-input A float32 [2]) (declare-hidden G float32 [3] "c") (declare-output B float32 []))
(declare-network L (isomorphic-to N)
  (declare-input C float32 [2]) (declare-hidden F float32 [3] "d") (declare-output D float32 []))
(assert (and (>= X[0] 0.0) (<= X[0] 1.0) (<= (* H[2] F[0] D) (+ B A[1]))))
"""


def test_several_networks_with_hidden_nodes() -> None:
    """Elements run through all inputs, all outputs, all hidden variables, and then the products."""
    spec = read(SEVERAL)
    assert [(n.name, n.equal_to, n.isomorphic_to) for n in spec.networks] == [
        ("N", "", ""),
        ("M", "N", ""),
        ("L", "", "N"),
    ]
    assert [v.node for v in spec.hidden] == ["a;(b", "c", "d"]
    assert [v.name for v in spec.network_outputs] == ["Y", "B", "D", "H", "G", "F"]
    assert spec.products == ((8, 11, 15),)  # D, H[2], F[0] after six inputs
    (case,) = spec.cases
    (row,) = case.constraints
    places = {name: np.flatnonzero(array).tolist() for name, array in row.coefficients.items()}
    assert places == {PRODUCTS: [0], "B": [0], "A": [1]}


def test_messages_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(BadQuery, match=r"absent\.vnnlib: cannot be read \(No such file"):
        read_vnnlib(tmp_path / "absent.vnnlib")
    with pytest.raises(BadQuery, match="cannot be read"):
        read_vnnlib(tmp_path)
    cut = tmp_path / "cut.vnnlib.gz"
    cut.write_bytes(gzip.compress(HEADER.encode())[:-12])
    with pytest.raises(BadQuery, match=r"cut\.vnnlib\.gz: cannot be read"):
        read_vnnlib(cut)
