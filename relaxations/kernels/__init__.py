"""Compiled forms in C of what takes the most time, each beside a reference in torch."""
