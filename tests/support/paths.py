"""Where tests find the repository's files, and those of ../shared where they are beside it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
SHARED = ROOT.parent / "shared"
EXPORTS = SHARED / "exports"
