"""Every command and option that a document names exists: they are read from the command line itself."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.support.documents import DOCUMENTS, commands, name, spans
from verifier.cli.app import app
from verifier.cli.supports import CAPABILITIES

GROUP = typer.main.get_command(app)
COMMANDS = GROUP.commands  # type: ignore[attr-defined]
HELP = {"--help", "-h"}
# options of other programs that documents name
FOREIGN = re.compile(r"(python|pip|make|git|OMP_NUM_THREADS|\.venv/bin/python)\b")
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")


def options(command: Any) -> set[str]:
    return HELP | {o for p in command.params for o in (*p.opts, *p.secondary_opts) if o.startswith("-")}


EVERY = options(GROUP).union(CAPABILITIES, *(options(command) for command in COMMANDS.values()))


def faults(call: str) -> list[str]:
    """What is wrong with one command line, in words."""
    words = [w for w in shlex.split(call.replace("…", "")) if w not in ("[", "]")][1:]
    command = next((w for w in words if not w.startswith("-")), "")
    if command and command.isupper():  # COMMAND, in prose
        return []
    if command and command not in COMMANDS:
        return [f"no command '{command}'"]
    known = options(COMMANDS[command]) if command else options(GROUP)
    if command == "supports":
        known |= set(CAPABILITIES)
    used = [w.split("=")[0] for w in words if OPTION.fullmatch(w.split("=")[0])]
    return [f"no option {option} of recert {command}" for option in used if option not in known]


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_commands_exist(path: Path) -> None:
    text = path.read_text()
    wrong = {call: found for call in commands(text) if (found := faults(call))}
    assert not wrong


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_options_named_in_prose_exist(path: Path) -> None:
    named = {
        option
        for span in spans(path.read_text())
        if not FOREIGN.match(span) and not span.startswith("recert")
        for option in OPTION.findall(span)
        if option.startswith("--")
    }
    assert named <= EVERY


def test_a_wrong_command_is_seen() -> None:
    assert faults("recert certfy MODEL DATA.npz --eps E")
    assert faults("recert certify MODEL DATA.npz --epsilon E")
    assert not faults("recert certify MODEL DATA.npz --eps E --json -")


def test_some_documents_have_commands() -> None:
    assert sum(len(list(commands(path.read_text()))) for path in DOCUMENTS) > 10
