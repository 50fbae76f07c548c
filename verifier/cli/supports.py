"""`recert supports --CAPABILITY`: what can be verified, one entry a line, straight from the registries."""

from __future__ import annotations

from collections.abc import Callable, Mapping

NEWEST_OPSET = 23  # the last whose changes to every operator were gone through


def _operators() -> list[str]:
    from parsers.onnx.ops import onnx_operators

    return onnx_operators()


def _opsets() -> list[str]:
    import onnx

    from parsers.onnx.read import OLDEST_OPSET

    return [str(OLDEST_OPSET), str(min(NEWEST_OPSET, onnx.defs.onnx_opset_version()))]


def _element_types() -> list[str]:
    from verifier.network.coverage import COVERED_FLOATS

    return [*COVERED_FLOATS, "real"]


CAPABILITIES: Mapping[str, Callable[[], list[str]]] = {
    "--onnx-operators": _operators,
    "--onnx-opset-versions": _opsets,
    "--onnx-element-types": _element_types,
    "--vnnlib-versions": lambda: ["1.0", "2.0"],
    "--hidden-node-theories": lambda: ["NH", "H"],
    "--multiple-input-output-theories": lambda: ["SIO", "MIO"],
    "--multiple-network-theories": lambda: ["SNET", "MENET", "MINET", "MNET"],
    "--multiple-node-comparison-theories": lambda: ["SNC", "MNC"],
    "--arithmetic-complexity-theories": lambda: ["BND", "OUTC", "LIN", "POLY"],
    "--optimised-disjunctive-reasoning": lambda: ["false"],
    "--serialise-assignments": lambda: ["true"],
}


def entries(capability: str) -> list[str]:
    """The lines to print. Raises `BadInput` for an unknown capability."""
    if capability not in CAPABILITIES:
        from parsers.errors import BadInput

        raise BadInput(f"no capability '{capability}'; ask for one of {', '.join(CAPABILITIES)}")
    return CAPABILITIES[capability]()
