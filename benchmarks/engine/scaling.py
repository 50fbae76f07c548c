"""Cost against length, size, batch and threads; peak memory."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.engine.case import Case, cost
from benchmarks.measure import table
from verifier.proof.prover import NEAR

LENGTHS = (16, 32, 64, 128)
LONG = (200, 400, 1000)
BATCHES = (1, 4, 16, 64)


def lengths() -> str:
    cases = [Case(hidden=64, length=T, repeats=2) for T in LENGTHS]
    cases += [Case(hidden=64, length=T, repeats=1, lookback=NEAR) for T in LONG]
    rows = []
    for case in cases:
        spent = cost(case)
        reach = f"{case.lookback}" if case.lookback else "all"
        each = 1e3 * spent.cpu / case.length
        rows.append((f"{case.length}", reach, f"{spent.cpu:.2f}", f"{each:.1f}", f"{spent.peak:.0f}"))
    return "## Length\n\nLSTM, H = 64, d = 8, one instance.\n\n" + table(
        "T | look-back | bounds, s | ms a time step | peak, MiB", rows
    )


def sizes() -> str:
    rows = []
    for kind in ("LSTM", "GRU", "RNN"):
        for hidden in (16, 32, 64, 128):
            for dtype in ("float64", "float32"):
                spent = cost(Case(kind, hidden, 16, dtype=dtype))
                rows.append((kind, f"{hidden}", dtype, f"{spent.cpu:.3f}", f"{spent.peak:.0f}"))
    return "## Hidden size\n\nT = 16, d = 8, one instance.\n\n" + table(
        "cell | H | arithmetic | bounds, s | peak, MiB", rows
    )


def batches() -> str:
    rows = []
    for kind in ("LSTM", "GRU"):
        alone = cost(Case(kind)).cpu
        for batch in BATCHES:
            spent = cost(Case(kind, batch=batch))
            times = f"{spent.cpu / alone:.1f}"
            rows.append((kind, f"{batch}", f"{spent.cpu:.2f}", times, f"{spent.peak:.0f}"))
    return "## Batch\n\nH = 32, T = 16, d = 8.\n\n" + table(
        "cell | instances | bounds, s | times one instance | peak, MiB", rows
    )


def threads() -> str:
    rows = []
    for hidden, length in ((64, 32), (128, 16), (128, 32)):
        case = Case(hidden=hidden, length=length)
        one, two = cost(case).wall, cost(replace(case, threads=2)).wall
        rows.append((f"{hidden}", f"{length}", f"{one:.2f}", f"{two:.2f}", f"{one / two:.2f}"))
    return "## Threads\n\nLSTM, d = 8, one instance; seconds on the wall.\n\n" + table(
        "H | T | one thread, s | two threads, s | faster by", rows
    )


def memory() -> str:
    rows = []
    for case in (
        Case(hidden=64, length=64, repeats=1),
        Case(hidden=128, length=64, repeats=1),
        Case(hidden=128, length=64, batch=16, repeats=1),
    ):
        spent = cost(case)
        size = (f"{case.hidden}", f"{case.length}", f"{case.batch}")
        rows.append((*size, f"{spent.cpu:.1f}", f"{spent.before:.0f}", f"{spent.peak:.0f}"))
    return "## Memory\n\nLSTM, d = 8; of the whole process, before the bounds and at their peak.\n\n" + table(
        "H | T | instances | bounds, s | before, MiB | peak, MiB", rows
    )
