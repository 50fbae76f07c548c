"""`recert certify` and `recert radius`: samples of a data set, a verdict or an interval for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import TypeVar

from rich.table import Table
from torch import Tensor

from verifier.budget import Depth
from verifier.certify import certify
from verifier.cli import checks
from verifier.cli.machine import Machine
from verifier.cli.options import Samples
from verifier.cli.report import (
    JsonLines,
    ProgressBar,
    accuracy_lines,
    distortion_lines,
    distortion_table,
    outcome_table,
    results_console,
)
from verifier.cli.status import Status, say
from verifier.coverage import caveat
from verifier.dataset import Sample, load_dataset, stacked
from verifier.evaluator import join
from verifier.frames import movable_groups, parse_choice
from verifier.network import Classifier
from verifier.outcome import Distortion, Outcome
from verifier.radius import radii
from verifier.region import Region, ball_region
from verifier.replay import Replay

Found = TypeVar("Found", Outcome, Distortion)
RegionOf = Callable[[Sequence[Sample], "float | Tensor"], Region]


def run_certify(task: Samples, machine: Machine, eps: float) -> Status:
    """Certify every sample at radius `eps`."""
    eps = checks.radius(eps)
    timeout, depth = checks.timeout(task.timeout), Depth[task.method.value]

    def decide(network: Classifier, samples: Sequence[Sample], region: RegionOf) -> Iterator[Outcome]:
        return certify(network, samples, lambda some: region(some, eps), timeout=timeout, depth=depth)

    return _run(task, machine, decide, lambda o: o.verdict.value, outcome_table, accuracy_lines)


def run_radius(task: Samples, machine: Machine, start: float, tolerance: float) -> Status:
    """Bound the least distortion of every sample."""
    checks.radius(start, "--start", zero=False)
    checks.radius(tolerance, "--tolerance", zero=False)
    timeout, depth = checks.timeout(task.timeout), Depth[task.method.value]

    def decide(network: Classifier, samples: Sequence[Sample], region: RegionOf) -> Iterator[Distortion]:
        return radii(network, samples, region, start=start, tolerance=tolerance, timeout=timeout, depth=depth)

    return _run(
        task,
        machine,
        decide,
        lambda d: "misclassified" if d.misclassified else "bounded",
        distortion_table,
        distortion_lines,
    )


def _run(
    task: Samples,
    machine: Machine,
    decide: Callable[[Classifier, Sequence[Sample], RegionOf], Iterator[Found]],
    kind: Callable[[Found], str],
    table: Callable[[list[Found], int], Table],
    summary: Callable[[list[Found]], list[str]],
) -> Status:
    """Decide all samples; an interrupt ends the work, and what has been found is shown."""
    p, clip = checks.norm_order(task.norm), checks.clip(task.clip)
    choice = None if task.frames is None else parse_choice(task.frames)
    json = None if task.json is None else JsonLines(task.json)
    settings = machine.settings()
    replay = Replay(task.model, checks.fixed(task.fix or ()))
    dataset = load_dataset(task.data, replay.inputs, task.limit)
    found: list[Found] = []
    tally: Counter[str] = Counter()
    status = Status.DONE
    bar = ProgressBar(len(dataset), task.model.name)
    try:
        with bar.shown(), json or nullcontext():
            for group in dataset.groups():
                network = Classifier(replay, group[0].shapes, settings, task.output)
                note = caveat(network.graph)
                if note is not None and not found:
                    say(f"recert: {note}")
                dataset.check_labels(network.classes)
                moving = movable_groups(network.graph, dataset.perturbed, choice)

                def region(
                    some: Sequence[Sample],
                    eps: float | Tensor,
                    network: Classifier = network,
                    moving: Tensor = moving,
                ) -> Region:
                    return ball_region(
                        join(network.graph.inputs, stacked(some)), eps, p, clip=clip, group=moving
                    )

                for entry in decide(network, group, region):
                    found.append(entry)
                    if json is not None:
                        json.write(entry.as_json())
                    tally[kind(entry)] += 1
                    bar.advance(", ".join(f"{count} {name}" for name, count in tally.items()))
    except KeyboardInterrupt:
        say(f"recert: interrupted after {len(found)} of {len(dataset)} samples")
        status = Status.INTERRUPTED
    console = results_console(json)
    console.print(table(found, console.width), "", sep="\n")
    for line in summary(found):
        console.print(line, highlight=False, soft_wrap=True)
    return status
