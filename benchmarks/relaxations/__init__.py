"""How tight and how fast planes are, each module a command: `python -m benchmarks.relaxations[.MODULE]`."""
