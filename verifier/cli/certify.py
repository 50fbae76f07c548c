"""`recert certify` and `recert radius`: samples of a data set, a verdict or an interval for each.

Data and model are read before torch is imported: what does not fit is told at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from rich.table import Table

from relaxations.kernels.status import kernel_status
from verifier.attack.replay import Replay
from verifier.cli import report
from verifier.cli.checks import Asked
from verifier.cli.options import Machine, settings
from verifier.cli.process import Mistakes, Status, say, say_ended
from verifier.cli.progress import Progress
from verifier.network.coverage import caveat
from verifier.robustness.dataset import Dataset, load_dataset
from verifier.robustness.outcome import Outcome, Phase, RadiusBounds, Verdict

if TYPE_CHECKING:
    from verifier.robustness.task import Question, Task

Found = TypeVar("Found", Outcome, RadiusBounds)

# what `Phase`s are called to the one who waits
PHASES = {
    "attack": "attacking {} by PGD",
    "prove": "bounding {}",
    "radius": "raising the certified radius of {}",
}


@dataclass(frozen=True, slots=True)
class Shown(Generic[Found]):
    """How a question is put and its answers are shown; `eps` is its radius, infinite where one is sought."""

    question: str
    eps: float
    kind: Callable[[Found], str]
    table: Callable[[Sequence[Found]], Table]
    summary: Callable[[Sequence[Found]], list[str]]


def run_certify(asked: Asked, machine: Machine, eps: float, written: str) -> Status:
    """Certify every sample at radius `eps`, which was `written` as it is shown."""

    def question() -> Question[Outcome]:
        from verifier.robustness.task import Certify

        return Certify(eps, asked.timeout, asked.method)

    shown: Shown[Outcome] = Shown(
        f"{report.norm_name(asked.p)}, ε = {written}",
        eps,
        lambda o: o.verdict.value,
        report.outcome_table,
        report.accuracy_lines,
    )
    found, status = _run(asked, machine, question, shown)
    unknown = sum(o.verdict is Verdict.unknown for o in found)
    hint = report.remedy(asked, unknown)
    if hint and status is Status.DONE:
        say(f"recert: hint: {hint}")
    return status


def run_radius(asked: Asked, machine: Machine, start: float, tolerance: float) -> Status:
    """Bound the minimum adversarial perturbation of every sample."""

    def question() -> Question[RadiusBounds]:
        from verifier.robustness.radius import Search
        from verifier.robustness.task import Radius

        return Radius(Search(start, tolerance, asked.timeout, asked.method))

    shown: Shown[RadiusBounds] = Shown(
        f"{report.norm_name(asked.p)}, certified radius",
        math.inf,
        lambda d: d.verdict.value if d.misclassified else "bounded",
        report.radius_table,
        report.radius_lines,
    )
    return _run(asked, machine, question, shown)[1]


def _run(
    asked: Asked, machine: Machine, question: Callable[[], Question[Found]], shown: Shown[Found]
) -> tuple[list[Found], Status]:
    """Decide all samples and show what was found; also where a signal or a full disk ends the work."""
    json = None if asked.json is None else report.JsonLines(asked.json, {"kernels": kernel_status().in_use})
    replay = Replay(asked.model, {name: np.array(values) for name, values in asked.fixed.items()})
    dataset = load_dataset(asked.data, replay.inputs, asked.limit)
    _hint(asked, dataset, shown.eps)
    jobs = min(asked.jobs, len(dataset))
    progress = Progress(len(dataset), asked.timeout, jobs)
    console = report.results_console(json)
    found: list[Found] = []
    status, problem = Status.DONE, None
    with progress:
        try:
            task = _task(asked, machine, question(), replay, dataset)
            answers = _answers(task, replay, dataset, jobs, machine.threads)
            if jobs > 1:
                progress.at(f"in {jobs} processes")
            with json or nullcontext(), closing(answers):
                for entry in answers:
                    if isinstance(entry, Phase):
                        progress.at(PHASES[entry.name].format(len(entry.indices)), len(entry.indices))
                        continue
                    found.append(entry)
                    if json is not None:
                        json.write(entry.as_json())
                    progress.found(shown.kind(entry))
        except KeyboardInterrupt as interrupt:
            status = say_ended(interrupt, f" after {len(found)} of {len(dataset)} samples")
        except Mistakes as mistakes:
            if not found:
                raise
            problem = mistakes
    report.printed(console, [report.title(asked, len(dataset), shown.question), ""])
    report.printed_table(console, shown.table(found))
    report.printed(console, ["", *shown.summary(found)])
    if problem is not None:
        raise problem
    return found, status


def _task(
    asked: Asked, machine: Machine, question: Question[Found], replay: Replay, dataset: Dataset
) -> Task[Found]:
    """What is asked, as it can be sent to another process."""
    from verifier.robustness.perturbation import Perturbation, StepChoice
    from verifier.robustness.task import Task

    whole = asked.steps is None and asked.features is None and not asked.per_step
    choice = None if whole else StepChoice(asked.steps, asked.features, asked.per_step)
    here = settings(machine)
    return Task(
        question,
        asked.model,
        Perturbation(dataset.perturbed, asked.p, asked.clip, choice),
        replace(here, memory=max(1, here.memory // asked.jobs)),
        replay.fixed,
        asked.output,
    )


def _answers(
    task: Task[Found], replay: Replay, dataset: Dataset, jobs: int, threads: int
) -> Generator[Found | Phase]:
    """What is found about each sample, as it comes, and what is being done. What cannot be asked at all is
    refused first."""
    from verifier.robustness.parallel import decided
    from verifier.robustness.task import Solver

    solver, groups = Solver(task, replay), dataset.groups()
    for number, group in enumerate(groups):
        network = solver.network(group[0])
        dataset.check_labels(network.classes)
        note = caveat(network.graph)
        if note is not None and not number:
            say(f"recert: {note}")
        if jobs == 1:
            yield from solver.solve(group)
    if jobs > 1:
        yield from decided(task, groups, jobs, threads)


def _hint(asked: Asked, dataset: Dataset, eps: float) -> None:
    moving = [sample.inputs[dataset.perturbed] for sample in dataset.samples]
    least, greatest = min(float(x.min()) for x in moving), max(float(x.max()) for x in moving)
    hint = report.clip_hint(asked, least, greatest, eps)
    if hint:
        say(f"recert: hint: {hint}")
