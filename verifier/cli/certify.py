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
from verifier.robustness.outcome import Distortion, Outcome, Verdict

if TYPE_CHECKING:
    from verifier.robustness.task import Question, Work

Found = TypeVar("Found", Outcome, Distortion)


@dataclass(frozen=True, slots=True)
class Shown(Generic[Found]):
    """How a question is put and its answers are shown; `eps` is its radius, infinite where one is sought."""

    question: str
    eps: float
    kind: Callable[[Found], str]
    table: Callable[[Sequence[Found], int], Table]
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

    def question() -> Question[Distortion]:
        from verifier.robustness.task import Radius

        return Radius(start, tolerance, asked.timeout, asked.method)

    shown: Shown[Distortion] = Shown(
        f"{report.norm_name(asked.p)}, certified radius",
        math.inf,
        lambda d: "misclassified" if d.misclassified else "bounded",
        report.distortion_table,
        report.distortion_lines,
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
            work = _work(asked, machine, question(), replay, dataset)
            answers = _answers(work, replay, dataset, jobs, machine.threads)
            with json or nullcontext(), closing(answers):
                for entry in answers:
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
    console.print(shown.table(found, console.width), "", sep="\n")
    report.printed(console, shown.summary(found))
    if problem is not None:
        raise problem
    return found, status


def _work(
    asked: Asked, machine: Machine, question: Question[Found], replay: Replay, dataset: Dataset
) -> Work[Found]:
    """What is asked, as it can be sent to another process."""
    from verifier.robustness.perturbation import FrameChoice
    from verifier.robustness.task import Work

    chosen = asked.steps, asked.features, asked.per_step
    here = settings(machine)
    return Work(
        question,
        asked.model,
        replay.fixed,
        replace(here, memory=max(1, here.memory // asked.jobs)),
        asked.output,
        dataset.perturbed,
        asked.p,
        asked.clip,
        FrameChoice(*chosen) if any(part not in (None, False) for part in chosen) else None,
    )


def _answers(
    work: Work[Found], replay: Replay, dataset: Dataset, jobs: int, threads: int
) -> Generator[Found]:
    """What is found about each sample, as it comes. What cannot be asked at all is refused first."""
    from verifier.robustness.parallel import decided
    from verifier.robustness.task import Desk

    desk, groups = Desk(work, replay), dataset.groups()
    for number, group in enumerate(groups):
        network = desk.network(group[0])
        dataset.check_labels(network.classes)
        note = caveat(network.graph)
        if note is not None and not number:
            say(f"recert: {note}")
        if jobs == 1:
            yield from desk.decide(group)
    if jobs > 1:
        yield from decided(work, groups, jobs, threads)


def _hint(asked: Asked, dataset: Dataset, eps: float) -> None:
    moving = [sample.inputs[dataset.perturbed] for sample in dataset.samples]
    least, greatest = min(float(x.min()) for x in moving), max(float(x.max()) for x in moving)
    hint = report.clip_hint(asked, least, greatest, eps)
    if hint:
        say(f"recert: hint: {hint}")
