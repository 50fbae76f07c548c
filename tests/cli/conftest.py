"""Run `recert` inside the test process; a few tests start the real command instead."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner, Result

from tests.cli.running import Recert, Refused
from verifier.cli.app import app


@pytest.fixture
def recert() -> Recert:
    """`recert("inspect", path)` → result with `exit_code`, `stdout`, `stderr`; a bug fails the test."""

    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def refused(recert: Recert) -> Refused:
    """The one line of standard error with which a command declines; nothing may reach standard output."""

    def run(*arguments: object) -> str:
        result = recert(*arguments)
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        lines = result.stderr.splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("recert: error: ")
        return lines[0]

    return run
