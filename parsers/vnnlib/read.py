"""`read_vnnlib`: file → text → (translation) → syntax tree → specification."""

from __future__ import annotations

import os
from pathlib import Path

from parsers.errors import BadQuery
from parsers.specification import Specification
from parsers.vnnlib import text as source
from parsers.vnnlib.syntax import parse
from parsers.vnnlib.translate import translate


def read_vnnlib(path: str | os.PathLike[str]) -> Specification:
    """Read a VNN-LIB query, version 1.0 or 2.x, plain or gzipped.

    The specification is keyed by the query's own variables; `Specification.bind` ties it to a network.
    Raises `BadQuery`, one line that starts with the path, for anything not readable or not supported.
    """
    try:
        return specification(source.load(Path(path)))
    except BadQuery as error:
        raise BadQuery(f"{os.fspath(path)}: {error}") from None


def specification(text: str) -> Specification:
    """The specification of a query's text, without comments."""
    major, minor = source.version(text)
    if major not in (1, 2):
        raise BadQuery(f"version {major}.{minor} of VNN-LIB is not supported; write version 2.0")
    flat = major == 1
    query = parse(translate(text) if flat else source.normalised(text))
    spec = Specification.over(
        "1.0" if flat else f"{major}.{minor}", query.networks, query.formula, query.products
    )
    _ = spec.cases  # what is too large is refused when it is read
    return spec
