"""The text of a query file: loading it, and refusing what the VNN-LIB parser would misread in silence.

The parser stops at a NUL byte, reads the index 1.9 as 1 and the dimension 2.7 as 2, takes unknown element
types for known ones, and overflows its stack on deep nesting. Each is checked here, with a line number.
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

from parsers.errors import BadQuery

MAX_BYTES = 1 << 30
MAX_DEPTH = 200
MAX_PROBLEMS = 5

QUOTED = r'"(?:[^"\\\n]|\\.)*"'  # the name of a hidden node, where `;`, `(` and `[` mean themselves
_COMMENT = re.compile(QUOTED.encode() + rb"|;[^\n]*")
_FOREIGN = re.compile(rb"[^\x20-\x7e\t\n]")
_NUMBERS = re.compile(r"\s*(\d+\s*(,\s*\d+\s*)*)?")
_QUOTED = re.compile(QUOTED)
_GLUED = re.compile(r"\((assert|declare-(?:network|input|hidden|output)|equal-to|isomorphic-to)[\w-]+")
_OPENING = re.compile(rf"({QUOTED})|\((\s+)")
_VERSION = re.compile(r"\s*\(\s*vnnlib-version\s*(<\s*(\d+)\.(\d+)\s*>)?")


def load(path: Path) -> str:
    """The file's text without comments; line numbers are kept. Gzip is recognised by its first bytes."""
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            with gzip.open(path) as stream:
                data = stream.read(MAX_BYTES + 1)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadQuery(f"cannot be read ({reason}); give a VNN-LIB file, plain or gzipped") from None
    if len(data) > MAX_BYTES:
        raise BadQuery(f"is larger than {MAX_BYTES >> 30} GiB; split the query over several files")
    return decode(data)


def decode(data: bytes) -> str:
    """`data` as text without comments, if it is such text that a query can be."""
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    lone = data.find(b"\r")
    if lone >= 0:  # a line end or not? what a comment hides depends on it
        raise BadQuery(
            f"line {_line(data, lone)}: a carriage return without line feed; save it with Unix line ends"
        )
    bare = _COMMENT.sub(lambda match: match[0] if match[0].startswith(b'"') else b"", data)
    foreign = _FOREIGN.search(bare)
    if foreign:
        raise BadQuery(
            f"line {_line(bare, foreign.start())}: byte 0x{foreign[0][0]:02x} belongs in no VNN-LIB file; "
            "write plain ASCII outside comments"
        )
    text = bare.decode("ascii")
    if not text.strip():
        raise BadQuery("is empty; a query needs declarations and assertions")
    _check_nesting(text)
    return text


def version(text: str) -> tuple[int, int]:
    """(major, minor): (1, 0) where the text declares none."""
    match = _VERSION.match(text)
    if match is None:
        return 1, 0
    if match[1] is None:
        at = line(text, match.end())
        raise BadQuery(f"line {at}: the version is not readable; write `(vnnlib-version <2.0>)`")
    return int(match[2]), int(match[3])


def normalised(text: str) -> str:
    """Version 2 text as the parser wants it: no blank after `(`, and its own minor version.

    Minor versions add to the language and change nothing; what they add the parser refuses by itself.
    """
    bare = _QUOTED.sub('""', text)
    for brackets in re.finditer(r"\[([^\]\[()]*)\]?", bare):
        if not _NUMBERS.fullmatch(brackets[1]):
            at = line(bare, brackets.start())
            found = " ".join(brackets[0].split())[:40]
            raise BadQuery(f"line {at}: '{found}' is no list of indices; write [0,3] and the like")
    glued = _GLUED.search(bare)
    if glued:
        at = line(bare, glued.start())
        raise BadQuery(f"line {at}: '{glued[0]}' is no command; put a blank after '{glued[1]}'")
    text = _OPENING.sub(lambda match: match[1] or f"{match[2]}(", text)
    match = _VERSION.match(text)
    return text[: match.start(1)] + "<2.0>" + text[match.end(1) :] if match and match[1] else text


def listed(problems: list[str]) -> str:
    """The first few problems in one line."""
    more = len(problems) - MAX_PROBLEMS
    return "; ".join(problems[:MAX_PROBLEMS] + ([f"and {more} more"] if more > 0 else []))


def line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _line(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1


def _check_nesting(text: str) -> None:
    depth = 0
    for match in re.finditer(r"[()]", _QUOTED.sub('""', text)):
        depth += 1 if match[0] == "(" else -1
        if depth < 0:
            raise BadQuery(f"line {line(text, match.start())}: `)` closes nothing; remove it")
        if depth > MAX_DEPTH:
            raise BadQuery(
                f"line {line(text, match.start())}: nested more than {MAX_DEPTH} deep; flatten the formula, "
                "`and`, `or`, `+` and `*` take any number of arguments"
            )
    if depth:
        raise BadQuery(f"ends before {depth} `(` are closed; the file may be cut short")
