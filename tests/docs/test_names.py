"""Every file and every module that a document or a docstring names exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.support.documents import DOCUMENTS, name, spans
from tests.support.paths import ROOT

PACKAGES = ("benchmarks", "models", "parsers", "relaxations", "tests", "verifier", "vnncomp_scripts")
SOURCES = tuple(path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
FILE = re.compile(
    r"(?<![\w./*-])((?:[\w.-]+/)*[\w-]+\.(?:py|c|h|sh|toml|cff|md|rst)|(?:[\w-]+/)+)(?![\w/*-])"
)
MODULE = re.compile(rf"(?<![\w./])(?:{'|'.join(PACKAGES)})(?:\.[A-Za-z_]\w*)+(?![\w/])")
ENDINGS = (".py", ".c", ".h", ".sh", ".toml", ".cff", ".md", ".rst")


@cache
def every_name() -> frozenset[str]:
    """The names of all files that belong to the repository, without their folders."""
    folders = [ROOT / folder for folder in (*PACKAGES, "docs")]
    inside = (path.name for folder in folders for path in folder.rglob("*") if path.is_file())
    return frozenset(inside) | {path.name for path in ROOT.iterdir()}


def missing_files(text: str, beside: Path) -> set[str]:
    """Files and folders in `text` that are neither in the repository nor in the folder `beside`. What a build
    makes need not be there."""
    found = set()
    for item in FILE.findall(text):
        if "build/" in item:
            continue
        if "/" not in item.rstrip("/"):
            here = not item.endswith(ENDINGS) or item in every_name() or (beside / item).exists()
        else:
            here = (ROOT / item).exists() or (beside / item).exists()
        if not here:
            found.add(item)
    return found


@cache
def definitions(path: Path) -> frozenset[str]:
    """Names that a module defines or imports, at its top level and as members of its classes."""
    names: set[str] = set()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef() | ast.FunctionDef():
                names.add(node.name)
            case ast.alias():
                names.add((node.asname or node.name).split(".")[0])
            case ast.Name(ctx=ast.Store()):
                names.add(node.id)
            case _:
                pass
    return frozenset(names)


def exists(dotted: str) -> bool:
    """Whether a dotted name is a module, or something that a module defines."""
    first, *rest = dotted.split(".")
    at = ROOT / first
    while rest:
        if (at / rest[0]).is_dir():
            at = at / rest.pop(0)
        elif (at / f"{rest[0]}.py").is_file():
            at = at / f"{rest.pop(0)}.py"
            break
        else:
            at = at / "__init__.py"
            break
    return not rest or (at.is_file() and rest[0] in definitions(at))


def missing_modules(text: str) -> set[str]:
    return {dotted for dotted in MODULE.findall(text) if not dotted.endswith(ENDINGS) and not exists(dotted)}


def docstrings(path: Path) -> str:
    """All docstrings of a file, those of constants included."""
    texts = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            value = node.value.value
            texts.append(value if isinstance(value, str) else "")
    return "\n".join(texts)


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_documents_name_what_exists(path: Path) -> None:
    named = "\n".join(spans(path.read_text()))
    assert missing_files(named, path.parent) == set()
    assert missing_modules(path.read_text()) == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_docstrings_name_what_exists(package: str) -> None:
    wrong = {}
    for path in SOURCES:
        if path.relative_to(ROOT).parts[0] == package:
            text = docstrings(path)
            found = missing_files(text, path.parent) | missing_modules(text)
            if found:
                wrong[name(path)] = found
    assert wrong == {}


def test_a_wrong_name_is_seen() -> None:
    assert missing_files("see verifier/walk.py and walk.c", ROOT) == {"verifier/walk.py", "walk.c"}
    assert missing_files("see verifier/cli/app.py and docs/", ROOT) == set()
    assert missing_modules("`verifier.walk` and verifier.cli.app.main") == {"verifier.walk"}
    assert missing_modules("verifier.cli.app.nothing") == {"verifier.cli.app.nothing"}
