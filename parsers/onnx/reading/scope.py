"""`Scope`: the names visible in one ONNX graph, and what is noted while they are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from parsers.onnx.building.builder import Builder
from parsers.onnx.building.values import Any
from parsers.onnx.problems import Unsupported


@dataclass
class Reading:
    """What is shared by all scopes of one model."""

    opsets: Mapping[str, int]
    folder: str
    notes: list[str] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)  # which node, and why not
    misplaced: bool = False

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def problem(self, where: str, why: str) -> None:
        if (where, why) not in self.problems:
            self.problems.append((where, why))

    def listed(self) -> list[str]:
        """One line for each operator and reason, with all the nodes that it holds for."""
        nodes: dict[tuple[str, str], list[str]] = {}
        for where, why in self.problems:
            nodes.setdefault((where.split(" ")[0], why), []).append(where)
        return [f"{', '.join(where)}: {why}" for (_, why), where in nodes.items()]


class Scope:
    """Values by ONNX name. A subgraph's scope looks outward for what it does not define."""

    def __init__(self, reading: Reading, builder: Builder, parent: Scope | None = None) -> None:
        self.reading = reading
        self.builder = builder
        self.parent = parent
        self.values: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.parent
        raise Unsupported(
            f"value '{name}' is used but nothing produces it", "the exporter left a dangling tensor"
        )
