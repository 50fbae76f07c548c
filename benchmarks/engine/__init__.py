"""How fast the bound engine is: `python -m benchmarks.engine [SECTION ...]`, a module for each section."""
