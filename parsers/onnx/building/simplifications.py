"""All rules that a reader's builder simplifies by, in the order in which they are tried."""

from __future__ import annotations

from parsers.onnx.building.algebra import ALGEBRA
from parsers.onnx.building.normal_forms import NORMAL_FORMS
from parsers.onnx.building.rules import RuleTable
from parsers.onnx.building.stacking import STACKING

SIMPLIFICATIONS = RuleTable(ALGEBRA, STACKING, NORMAL_FORMS)
