"""The command line. Only typer is imported here; everything heavy waits until a command needs it."""

from verifier.cli.app import main

__all__ = ["main"]
