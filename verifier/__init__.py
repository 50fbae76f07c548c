"""Where graphs and relaxations meet: evaluation, bounds, attacks, verdicts, and the command line."""

__version__ = "0.1.0"
