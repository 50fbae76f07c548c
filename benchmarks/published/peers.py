"""Certified counts on published benchmarks, beside the published numbers, as markdown.

    python -m benchmarks.published.peers [--method METHOD] [--timeout S] [--radius E] [--save FILE] [NAME ...]
    python -m benchmarks.published.peers --survive FILE [--restarts N] [--steps N]

The networks and images are those of StarV (MNIST in two steps) and of Prover and DeepPrism (MNIST in four or
seven), read from ../shared/peers. An image counts as certified when every margin is proved positive, the
file's own float32 rounding in onnxruntime included. `branching` is what `recert certify --timeout S` does:
an attack, then bounds, then branching on what is open. Seconds are of the processor, a mean over the images.

`--survive` attacks every image of a saved run at the largest radius that was certified for it, from three
other seeds and for much longer; ends with status 1 if one breaks. It takes some ten minutes of a processor
for each of StarV's networks.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

from benchmarks.measure import begin, table
from benchmarks.paths import PEERS
from benchmarks.published.benchmarks import BENCHMARKS, Benchmark
from verifier.problem.budget import Budget
from verifier.problem.method import Method
from verifier.problem.settings import Settings
from verifier.robustness.certify import certify, parts
from verifier.robustness.outcome import Outcome, Verdict

SEEDS = (101, 102, 103)
METHODS = {method.value: method for method in Method if method >= Method.crown}


def verdicts(
    benchmark: Benchmark, radius: float, method: Method, timeout: float | None
) -> tuple[dict[int, Verdict], float]:
    """(verdict by image, seconds of the processor an image)."""
    samples, network = benchmark.samples(), benchmark.classifier(Settings())
    begin = time.process_time()
    if method is Method.bab:
        events = certify(network, samples, benchmark.region(samples, radius), timeout=timeout)
        found = {event.index: event.verdict for event in events if isinstance(event, Outcome)}
    else:
        found = {}
        for part in parts(samples):
            region = benchmark.region(part, radius)
            lower = network.margins(region, [s.label for s in part], Budget(method=method)).bounds.lower
            for sample, bound in zip(part, lower.tolist(), strict=True):
                found[sample.index] = Verdict.certified if bound > 0 else Verdict.unknown
    return found, (time.process_time() - begin) / len(samples)


def report(
    benchmark: Benchmark,
    radii: list[float],
    methods: list[str],
    timeout: float | None,
    save: Path | None,
) -> str:
    def at_radii(counts: tuple[int, ...]) -> list[str]:
        return [f"{n}" for n, radius in zip(counts, benchmark.radii, strict=True) if radius in radii]

    rows = [(source, *at_radii(counts), "") for source, counts in benchmark.published.items()]
    for method in methods:
        counts, spent = [], []
        for radius in radii:
            found, seconds = verdicts(benchmark, radius, METHODS[method], timeout)
            counts.append(Counter(found.values()))
            spent.append(f"{seconds:.2f}")
            print(
                f"{benchmark.name} {radius:g} {method}: {dict(counts[-1])}, {seconds:.2f} s", file=sys.stderr
            )
            if save is not None:
                with save.open("a") as file:
                    record = {"network": benchmark.name, "radius": radius, "verdicts": found}
                    file.write(json.dumps(record) + "\n")
        rows.append((f"recert, {method}", *(f"{c[Verdict.certified]}" for c in counts), ", ".join(spent)))
        if method == Method.bab.value:
            rows.append(("broken by recert", *(f"{c[Verdict.broken]}" for c in counts), ""))
            rows.append(("open", *(f"{c[Verdict.unknown]}" for c in counts), ""))
    if benchmark.unbroken is not None:
        rows.append(("unbroken by the attack on record", *at_radii(benchmark.unbroken), ""))
    columns = " | ".join(["certified of 100", *(f"ε = {r:g}" for r in radii), "CPU-s an image"])
    return f"## {benchmark.name}\n\n{table(columns, rows)}"


def survive(saved: Path, restarts: int, steps: int, chosen: list[str]) -> int:
    """How many certified images a long attack breaks; prints a line for each network."""
    largest: dict[str, dict[int, float]] = {}
    for line in saved.read_text().splitlines():
        record = json.loads(line)
        held = largest.setdefault(record["network"], {})
        for index, verdict in record["verdicts"].items():
            if verdict == Verdict.certified:
                held[int(index)] = max(held.get(int(index), 0.0), record["radius"])
    total = 0
    for benchmark in BENCHMARKS:
        held = largest.get(benchmark.name, {})
        if not held or not _wanted(benchmark, chosen):
            continue
        samples, broken = benchmark.samples(), set()
        for seed in SEEDS:
            settings = Settings(attack_restarts=restarts, attack_steps=steps, attack_rows=1024, seed=seed)
            network = benchmark.classifier(settings)
            for radius in sorted(set(held.values())):
                some = [s for s in samples if held.get(s.index) == radius]
                attacked = network.attack(benchmark.region(some, radius), [s.label for s in some])
                broken |= {some[k].index for k in attacked.broken}
        print(
            f"{benchmark.name}: {len(held)} certified, {len(broken)} of them broken {sorted(broken)}",
            flush=True,
        )
        total += len(broken)
    return total


def _wanted(benchmark: Benchmark, chosen: list[str]) -> bool:
    return not chosen or any(part in benchmark.name for part in chosen)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("networks", nargs="*", help="parts of names (all by default)")
    parser.add_argument(
        "--method", action="append", choices=list(METHODS), help="those without a time limit by default"
    )
    parser.add_argument("--timeout", type=float, help="seconds an image; branching needs it")
    parser.add_argument("--radius", type=float, action="append", help="only this one (all by default)")
    parser.add_argument("--save", type=Path, help="append the verdicts to this file")
    parser.add_argument("--survive", type=Path, help="attack what a saved run certified")
    parser.add_argument(
        "--restarts",
        type=int,
        default=6,
        help="of --survive: starts for each other class; with the one along all classes that is 1 + N · "
        "(classes − 1) descents for each image and seed (55 by default, %(default)s starts)",
    )
    parser.add_argument("--steps", type=int, default=500, help="of --survive: of every descent")
    options = parser.parse_args()
    methods = options.method or [name for name, method in METHODS.items() if not method.about.slow]
    if Method.bab.value in methods and options.timeout is None:
        parser.error("bab goes on until its --timeout: set one")
    if not (PEERS / "benchmarks.json").exists():
        parser.error(f"the benchmarks are not there: {PEERS}")
    if options.survive is not None:
        begin("Certified images under a longer attack")
        raise SystemExit(bool(survive(options.survive, options.restarts, options.steps, options.networks)))
    begin("Published benchmarks")
    for benchmark in BENCHMARKS:
        if _wanted(benchmark, options.networks):
            radii = [r for r in benchmark.radii if not options.radius or r in options.radius]
            print(report(benchmark, radii, methods, options.timeout, options.save), flush=True)


if __name__ == "__main__":
    main()
