"""How an operator's reader says that it cannot read a node."""

from __future__ import annotations


class Unsupported(Exception):
    """Raised while reading one node; whoever reads them all makes one line of `UnsupportedModel` of it."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"{reason}: {remedy}" if remedy else reason)
