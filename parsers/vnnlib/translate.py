"""VNN-LIB 1.0, a dialect of SMT-LIB with one scalar variable per element, to the text of version 2.0.

    (declare-const X_0 Real) …   →   (declare-input X real [n])
    (assert (<= X_0 1e-2))       →   (assert (<= X[0] 0.01))

Commands stay on their lines, so that what the parser reports about the translation holds for the file.
`not` and `=>` are pushed down to the comparisons, decimals are written without exponents, exactly.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import NoReturn

from parsers.errors import BadQuery
from parsers.vnnlib.text import QUOTED, listed

_TOKEN = re.compile(rf'{QUOTED}|[()"\n]|[^\s()"]+')
_VARIABLE = re.compile(r"([XY])_(0|[1-9]\d{0,8})")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?")
_NEGATED = {"<=": ">", "<": ">=", ">=": "<", ">": "<=", "==": "!=", "!=": "=="}
_COMPARISONS = {**{op: op for op in _NEGATED}, "=": "==", "distinct": "!="}
_SILENT = {"set-logic", "set-info", "set-option", "check-sat", "get-model", "get-value", "exit", "echo"}


class Group(list):
    """A parenthesised list of tokens and groups, and the line on which it opens."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line


Term = str | Group


def translate(text: str) -> str:
    """The query in version 2.0: network N with one input X and one output Y, both `real` and flat.

    Raises `BadQuery` naming everything that version 1.0 does not have, each with its line.
    """
    return _Translation(_groups(text)).text()


def _groups(text: str) -> list[Group]:
    """The top-level commands; the parentheses are known to be balanced."""
    commands: list[Group] = []
    stack: list[Group] = []
    line = 1
    for token in _TOKEN.findall(text):
        if token == "\n":
            line += 1
        elif token == "(":
            stack.append(Group(line))
        elif token == ")":
            group = stack.pop()
            (stack[-1] if stack else commands).append(group)
        elif stack:
            stack[-1].append(token)
        else:
            raise BadQuery(f"line {line}: '{_short(token)}' stands outside parentheses; write `(assert …)`")
    return commands


class _Problem(Exception):
    """One unreadable place; collected, so that all are reported at once."""


class _Translation:
    def __init__(self, commands: list[Group]) -> None:
        self.sizes = {"X": 0, "Y": 0}
        self.declared: set[str] = set()
        self.problems: list[str] = []
        self.pieces: list[str] = []
        self.line = 1
        assertions = [command for command in commands if self._collect(self._command, command)]
        for letter, kind in (("X", "input"), ("Y", "output")):
            if not self.sizes[letter]:
                self.problems.append(f"no {kind} is declared; add `(declare-const {letter}_0 Real)`")
            names = (f"{letter}_{n}" for n in range(self.sizes[letter]))
            missing = next((name for name in names if name not in self.declared), None)
            if missing:
                self.problems.append(
                    f"{missing} is not declared; declare {letter}_0, {letter}_1, … without gaps"
                )
        if not assertions and not self.problems:
            self.problems.append("nothing is asserted; add `(assert …)`")
        for command in assertions:
            self._collect(self._assertion, command)

    def text(self) -> str:
        if self.problems:
            raise BadQuery(listed(self.problems))
        header = (
            "(vnnlib-version <2.0>) (declare-network N "
            f"(declare-input X real [{self.sizes['X']}]) (declare-output Y real [{self.sizes['Y']}])) "
        )
        return header + "".join(self.pieces) + "\n"

    def _collect(self, action: Callable[[Group], bool], command: Group) -> bool:
        try:
            return action(command)
        except _Problem as problem:
            self.problems.append(str(problem))
            return False

    # --- commands ------------------------------------------------------------------------------------

    def _command(self, command: Group) -> bool:
        """Record a declaration; True for an assertion."""
        head = command[0] if command else ""
        if head == "assert":
            return True
        if head in ("declare-const", "declare-fun"):
            self._declaration(command, head)
        elif not isinstance(head, str) or head not in _SILENT:
            _refuse(command, f"the command {_quoted(head)} is no part of VNN-LIB 1.0; remove it")
        return False

    def _declaration(self, command: Group, head: str) -> None:
        wanted = f"({head} X_0 Real)" if head == "declare-const" else f"({head} X_0 () Real)"
        parts = list(command[1:])
        if head == "declare-fun" and len(parts) == 3 and parts[1] == []:
            del parts[1]
        if len(parts) != 2 or not isinstance(parts[0], str) or not isinstance(parts[1], str):
            _refuse(command, f"the declaration is not readable; write `{wanted}`")
        name, sort = parts
        match = _VARIABLE.fullmatch(name)
        if match is None:
            _refuse(command, f"{_quoted(name)} is neither an input X_i nor an output Y_i; rename it")
        if sort != "Real":
            _refuse(command, f"the sort {_quoted(sort)} of {name} is not supported; write Real")
        if name in self.declared:
            _refuse(command, f"{name} is declared twice; remove one")
        self.declared.add(name)
        self.sizes[match[1]] = max(self.sizes[match[1]], int(match[2]) + 1)

    def _assertion(self, command: Group) -> bool:
        if len(command) != 2:
            _refuse(command, f"`assert` takes one formula, not {len(command) - 1}; join several with `and`")
        self._emit(command.line, "(assert ")
        self._formula(command[1], command, negated=False)
        self.pieces.append(")")
        return True

    def _emit(self, line: int, text: str) -> None:
        if line > self.line:
            self.pieces.append("\n" * (line - self.line))
            self.line = line
        self.pieces.append(text)

    # --- formulas ------------------------------------------------------------------------------------

    def _formula(self, term: Term, parent: Group, negated: bool) -> None:
        if term in ("true", "false"):
            truth = (term == "true") != negated
            self.pieces.append("(<= 0.0 0.0)" if truth else "(< 0.0 0.0)")
            return
        if isinstance(term, str) or not term or not isinstance(term[0], str):
            place = term if isinstance(term, Group) else parent
            _refuse(place, f"{_quoted(term)} is no formula; write a comparison")
        head, arguments = term[0], term[1:]
        if head in ("and", "or", "=>"):
            if not arguments or (head == "=>" and len(arguments) < 2):
                _refuse(term, f"`{head}` has too few arguments; give it a formula, or remove it")
            self._emit(term.line, "(and " if (head == "and") != negated else "(or ")
            for i, argument in enumerate(arguments):
                premise = head == "=>" and i < len(arguments) - 1  # a ⇒ b ⇒ c  is  ¬a ∨ ¬b ∨ c
                self._formula(argument, term, negated != premise)
            self.pieces.append(")")
        elif head == "not":
            if len(arguments) != 1:
                _refuse(term, f"`not` takes one formula, not {len(arguments)}; write `(not (…))`")
            self._formula(arguments[0], term, not negated)
        elif head in _COMPARISONS:
            self._comparison(term, _COMPARISONS[head], negated)
        else:
            _refuse(
                term, f"{_quoted(head)} is no connective and no comparison; use and, or, not, <=, <, >=, >, ="
            )

    def _comparison(self, term: Group, relation: str, negated: bool) -> None:
        head, arguments = term[0], term[1:]
        if len(arguments) < 2 or (len(arguments) > 2 and relation == "!="):
            _refuse(term, f"`{head}` compares two terms, not {len(arguments)}; write `({head} X_0 1.0)`")
        chain = len(arguments) > 2  # (<= a b c)  is  a ≤ b ∧ b ≤ c
        self._emit(term.line, ("(or " if negated else "(and ") if chain else "")
        for left, right in pairwise(arguments):
            self.pieces.append(f"({_NEGATED[relation] if negated else relation} ")
            self._term(left, term)
            self.pieces.append(" ")
            self._term(right, term)
            self.pieces.append(")")
        if chain:
            self.pieces.append(")")

    def _term(self, term: Term, parent: Group) -> None:
        if isinstance(term, str):
            self.pieces.append(self._atom(term, parent))
            return
        head = term[0] if term else ""
        if head == "/":
            _refuse(term, "division is not supported; write the quotient as a decimal, such as 0.25")
        if head not in ("+", "-", "*") or len(term) < 2:
            _refuse(term, f"{_quoted(head or term)} is no arithmetic; use +, - and * with arguments")
        self._emit(term.line, f"({head}")
        for argument in term[1:]:
            self.pieces.append(" ")
            self._term(argument, term)
        self.pieces.append(")")

    def _atom(self, token: str, parent: Group) -> str:
        if token in self.declared:
            return f"{token[0]}[{token[2:]}]"
        if _NUMBER.fullmatch(token):
            return decimal(token, parent.line)
        if _VARIABLE.fullmatch(token):
            _refuse(parent, f"{token} is used but not declared; add `(declare-const {token} Real)`")
        return _refuse(parent, f"{_quoted(token)} is no declared variable and no decimal number; correct it")


def decimal(token: str, line: int) -> str:
    """`token` without sign +, exponent or missing digits, the same number exactly: 1e-2 → 0.01, 5 → 5.0."""
    try:
        number = Decimal(token)
    except InvalidOperation:
        raise _Problem(f"line {line}: '{_short(token)}' is no decimal number; correct it") from None
    if number and abs(number.adjusted()) > 300:
        raise _Problem(f"line {line}: {_short(token)} is beyond what float64 holds; correct it")
    plain = format(number, "f")
    return plain if "." in plain else plain + ".0"


def _refuse(group: Group, what: str) -> NoReturn:
    raise _Problem(f"line {group.line}: {what}")


def _quoted(term: Term) -> str:
    return f"'{_short(term)}'" if isinstance(term, str) else "a list in parentheses"


def _short(token: str) -> str:
    return token if len(token) <= 40 else token[:37] + "…"
