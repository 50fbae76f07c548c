"""A number that C and Python share is typed once, in Python: the header has no other."""

from __future__ import annotations

import re

from relaxations.kernels.library import sources
from tests.support.constants import HEADER, header
from tests.support.paths import ROOT


def test_the_header_is_what_python_says() -> None:
    assert HEADER.read_text() == header(), "python -m tests.support.constants writes it anew"


def test_every_number_of_the_header_is_used() -> None:
    text = "".join(path.read_text() for path in sources(ROOT) if path != HEADER)
    defined = re.findall(r"#define (\w+) ", header())
    unused = [name for name in defined if not re.search(rf"\b{name}\b", text)]
    assert [name for name in unused if not name.endswith("_COUNT")] == []
