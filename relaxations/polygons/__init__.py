"""Boxes of two operands cut to octagons, and gates over what is left of them."""
