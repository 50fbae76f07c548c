"""Tables of the rules by which a builder simplifies what it emits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from parsers.onnx.building.builder import Rule


class RuleTable(Mapping[str, list[Rule]]):
    """Rules by the primitive that they look at, in the order in which they are tried."""

    def __init__(self, *tables: RuleTable) -> None:
        """The rules of `tables`, those of the first table first."""
        self._rules: dict[str, list[Rule]] = {}
        for table in tables:
            for op, rules in table.items():
                self._rules.setdefault(op, []).extend(rules)

    def rule(self, *ops: str) -> Callable[[Rule], Rule]:
        """Enter the decorated function as a rule for the primitives `ops`."""

        def register(function: Rule) -> Rule:
            for op in ops:
                self._rules.setdefault(op, []).append(function)
            return function

        return register

    def __getitem__(self, op: str) -> list[Rule]:
        return self._rules[op]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rules)

    def __len__(self) -> int:
        return len(self._rules)
