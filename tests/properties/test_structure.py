"""The layout stays readable: few modules a folder, short functions, short signatures, no address keys."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PRODUCT = ("parsers", "relaxations", "verifier")
MOST_MODULES, MOST_LINES, MOST_PARAMETERS = 10, 60, 7

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def too_long(tree: ast.AST) -> list[str]:
    """Functions of more than MOST_LINES lines."""
    return [f.name for f in functions(tree) if (f.end_lineno or f.lineno) - f.lineno + 1 > MOST_LINES]


def too_wide(tree: ast.AST) -> list[str]:
    """Functions of more than MOST_PARAMETERS parameters; commands of the command line are their options."""
    found = []
    for f in functions(tree):
        command = any("command" in ast.unparse(decorator) for decorator in f.decorator_list)
        names = [a.arg for a in (*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs)]
        if len([n for n in names if n not in ("self", "cls")]) > MOST_PARAMETERS and not command:
            found.append(f.name)
    return found


def addresses(tree: ast.AST) -> list[int]:
    """Lines that take the identity of an object: once it has died, another object may have the same."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [c.lineno for c in calls if isinstance(c.func, ast.Name) and c.func.id == "id"]


def test_few_modules_a_folder() -> None:
    counts = Counter(path.parent for path in sources(*PRODUCT, "benchmarks", "models", "tests"))
    full = {str(folder.relative_to(ROOT)): n for folder, n in counts.items() if n > MOST_MODULES + 1}
    assert not full


@pytest.mark.parametrize("check", [too_long, too_wide, addresses], ids=lambda check: check.__name__)
def test_files_keep_to_the_rule(check) -> None:
    found = {str(p.relative_to(ROOT)): check(ast.parse(p.read_text())) for p in sources(*PRODUCT)}
    assert not {path: names for path, names in found.items() if names}


@pytest.mark.parametrize(
    ("check", "wrong"),
    [
        (too_long, "def f():\n" + "    pass\n" * 60),
        (too_wide, "def f(a, b, c, d, *, e, f, g, h): ..."),
        (addresses, "held[id(form)] = form"),
    ],
)
def test_what_breaks_a_rule_is_found(check, wrong: str) -> None:
    assert check(ast.parse(wrong))
