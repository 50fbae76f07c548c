"""Import torch without what a query never needs: a verdict within seconds counts every tenth of one.

`torch._meta_registrations` teaches operators to run on tensors without data, for compilers. It is a third of
torch's import time. A placeholder takes its place, for this process alone, and only with a version of torch
of which it is known that nothing else reads that module.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

SKIPPED = "torch._meta_registrations"
KNOWN = ("2.13.",)


def skip_meta_kernels() -> None:
    """To be called before torch is imported; does nothing where that is too late or torch is another."""
    try:
        known = version("torch").startswith(KNOWN)
    except PackageNotFoundError:
        return
    if known and "torch" not in sys.modules:
        sys.modules[SKIPPED] = ModuleType(SKIPPED)
