"""The documents of the repository: their text, their code, and what they name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import ROOT

DOCUMENTS = tuple(
    sorted(
        [
            *ROOT.glob("*.md"),
            *(ROOT / "docs").rglob("*.md"),
            *(ROOT / "models").rglob("*.md"),
        ]
    )
)
_FENCE = re.compile(r"^( *)(`{3,})(\w*)\n(.*?)^\1\2 *$", re.M | re.S)
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of code and the line on which it begins."""

    language: str
    text: str
    line: int


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a document, without their indentation."""
    found = []
    for match in _FENCE.finditer(text):
        indent = len(match[1])
        code = "".join(line[indent:] for line in match[4].splitlines(keepends=True))
        found.append(Block(match[3], code, text.count("\n", 0, match.start()) + 2))
    return found


def prose(text: str) -> str:
    """The document without its fenced blocks."""
    return _FENCE.sub("", text)


def spans(text: str) -> list[str]:
    """What stands between single backticks, outside of fenced and indented blocks."""
    lines = [line for line in prose(text).splitlines() if not line.startswith("    ")]
    return _SPAN.findall("\n".join(lines))


def commands(text: str) -> Iterator[str]:
    """Every call of `recert` in a document: in blocks of code, after a prompt or not, and in spans."""
    indented = [line.strip() for line in prose(text).splitlines() if line.startswith("    ")]
    fenced = [line.strip() for block in blocks(text) for line in block.text.splitlines()]
    for line in [*indented, *fenced, *spans(text)]:
        call = line.removeprefix("$ ").split("#")[0].strip()
        call = re.sub(r"^(?:[A-Z_]+=\S+ +)+", "", call)
        if re.match(r"(\.venv/bin/)?recert( |$)", call):
            yield call
