"""Products of operands: bilinear terms, and a curve of one operand times another's."""

from relaxations.curves.softsign import SOFTSIGN
from relaxations.curves.tanh import TANH
from relaxations.products import sigmoid_softsign, sigmoid_tanh

CLOSED = {TANH: sigmoid_tanh.support, SOFTSIGN: sigmoid_softsign.support}
"""By the curve g, supports of σ(x)·(g(y) − h) in closed form."""
