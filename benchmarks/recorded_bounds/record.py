"""A record of bounds bit for bit, and what differs between two."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping

from benchmarks.recorded_bounds.methods import bounds_of
from benchmarks.recorded_bounds.networks import Network
from parsers.errors import RecertError

Record = dict[str, dict[str, list[str]]]
"""Network → what was asked → the numbers in hexadecimal; a refusal is recorded as its text."""


def record(networks: Iterable[Network]) -> Record:
    found: Record = {}
    for name, make in networks:
        entry: dict[str, list[str]] = {}
        try:
            for asked, array in bounds_of(make()):
                entry[asked] = [float(number).hex() for number in array.flatten().tolist()]
        except RecertError as refusal:
            entry["refused"] = [" ".join(str(refusal).split())]
        found[name] = entry
        print(f"{name}: {', '.join(entry)}", file=sys.stderr, flush=True)
    return found


def differences(old: Record, new: Record) -> Iterator[str]:
    """A line for every array of `new` that is not the one of `old` bit for bit."""
    for name, entry in new.items():
        for line in _differences(old.get(name, {}), entry):
            yield f"{name}: {line}"


def _differences(old: Mapping[str, list[str]], new: Mapping[str, list[str]]) -> Iterator[str]:
    for asked in dict.fromkeys((*old, *new)):
        before, after = old.get(asked), new.get(asked)
        if before == after:
            continue
        if before is None or after is None or len(before) != len(after) or asked == "refused":
            yield f"{asked}: {before} became {after}"
        else:
            gaps = [
                abs(float.fromhex(a) - float.fromhex(b)) for a, b in zip(before, after, strict=True) if a != b
            ]
            yield f"{asked}: {len(gaps)} of {len(after)} differ, by up to {max(gaps):.3g}"
