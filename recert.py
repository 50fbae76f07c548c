"""Certify recurrent neural networks straight from their ONNX files.

    import recert

    network = recert.load("vowels.onnx")
    recert.certify(network, recert.ball(x, 0.05), label=3, timeout=30)

Every name is one of `verifier.api`, imported at its first use: torch takes a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from verifier.api import *  # noqa: F403


def __getattr__(name: str) -> object:
    if name == "__version__":
        from verifier import __version__

        return __version__
    if name.startswith("__") and name != "__all__":
        raise AttributeError(f"module 'recert' has no attribute '{name}'")
    from verifier import api

    if name != "__all__" and name not in api.__all__:
        raise AttributeError(f"module 'recert' has no attribute '{name}'")
    return getattr(api, name)


def __dir__() -> list[str]:
    from verifier import api

    return [*api.__all__, "__version__"]
