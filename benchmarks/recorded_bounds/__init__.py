"""Bounds of many networks by every method, bit for bit: `python -m benchmarks.recorded_bounds`."""
