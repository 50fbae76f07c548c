"""Gates of one operand with one inflection: sigmoid, softsign, tanh (the curves are in
`relaxations.curves`)."""

from __future__ import annotations

from relaxations.curves.curve import gate_of
from relaxations.curves.sigmoid import SIGMOID
from relaxations.curves.softsign import SOFTSIGN
from relaxations.curves.tanh import TANH
from relaxations.gate import register

register(gate_of(SIGMOID, "sigmoid", compiled="sigmoid"))
register(gate_of(SOFTSIGN, "softsign"))
register(gate_of(TANH, "tanh", compiled="tanh"))
