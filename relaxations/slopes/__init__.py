"""Slopes of least volume, by a small linear program for each gate."""
