"""Products of operands: bilinear terms, and a curve of one operand times another's."""
