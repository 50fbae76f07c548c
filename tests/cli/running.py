"""What the tests of the command line share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

MODELS = Path(__file__).parents[2] / "models"

Recert = Callable[..., Result]
Refused = Callable[..., str]
