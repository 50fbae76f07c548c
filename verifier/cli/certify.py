"""`recert certify` and `recert radius`: samples of a data set, a verdict or an interval for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing, nullcontext
from dataclasses import replace

from rich.table import Table

from verifier.attack.replay import Replay
from verifier.cli import checks
from verifier.cli.machine import Machine
from verifier.cli.options import Samples
from verifier.cli.report import (
    JsonLines,
    ProgressBar,
    accuracy_lines,
    outcome_table,
    radius_lines,
    radius_table,
    results_console,
)
from verifier.cli.status import Status, say
from verifier.network.coverage import caveat
from verifier.problem.method import OLD_NAMES
from verifier.robustness.dataset import load_dataset
from verifier.robustness.outcome import Phase
from verifier.robustness.parallel import decided
from verifier.robustness.perturbation import Perturbation, parse_choice
from verifier.robustness.radius import Search
from verifier.robustness.task import Certify, Found, Question, Radius, Solver, Task


def run_certify(task: Samples, machine: Machine, eps: float) -> Status:
    """Certify every sample at radius `eps`."""
    question = Certify(checks.radius(eps), checks.timeout(task.timeout), OLD_NAMES[task.method.value])
    return _run(task, machine, question, lambda o: o.verdict.value, outcome_table, accuracy_lines)


def run_radius(task: Samples, machine: Machine, start: float, tolerance: float) -> Status:
    """Bound the least perturbation that changes the class of every sample."""
    checks.radius(start, "--start", zero=False)
    checks.radius(tolerance, "--tolerance", zero=False)
    return _run(
        task,
        machine,
        Radius(Search(start, tolerance, checks.timeout(task.timeout), OLD_NAMES[task.method.value])),
        lambda d: "misclassified" if d.misclassified else "bounded",
        radius_table,
        radius_lines,
    )


def _run(
    task: Samples,
    machine: Machine,
    question: Question[Found],
    kind: Callable[[Found], str],
    table: Callable[[list[Found], int], Table],
    summary: Callable[[list[Found]], list[str]],
) -> Status:
    """Decide all samples; an interrupt ends the work, and what has been found is shown."""
    p, clip = checks.norm_order(task.norm), checks.clip(task.clip)
    choice = None if task.frames is None else parse_choice(task.frames)
    json = None if task.json is None else JsonLines(task.json)
    settings = machine.settings()
    jobs = checks.jobs(task.jobs, settings.device)
    settings = replace(settings, memory=max(1, settings.memory // jobs))
    replay = Replay(task.model, checks.fixed(task.fix or ()))
    dataset = load_dataset(task.data, replay.inputs, task.limit)
    perturbation = Perturbation(dataset.perturbed, p, clip, choice)
    asked = Task(question, task.model, perturbation, settings, replay.fixed, task.output)
    solver, groups = Solver(asked, replay), dataset.groups()
    jobs = min(jobs, len(dataset))

    def answers() -> Generator[Found | Phase]:
        for number, group in enumerate(groups):  # what cannot be asked at all is refused here
            network = solver.network(group[0])
            dataset.check_labels(network.classes)
            note = caveat(network.graph)
            if note is not None and not number:
                say(f"recert: {note}")
            if jobs == 1:
                yield from solver.solve(group)
        if jobs > 1:
            yield from decided(asked, groups, jobs, machine.threads)

    found: list[Found] = []
    tally: Counter[str] = Counter()
    status = Status.DONE
    bar = ProgressBar(len(dataset), task.model.name)
    try:
        with bar.shown(), json or nullcontext(), closing(answers()) as entries:
            for entry in entries:
                if isinstance(entry, Phase):
                    continue
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
