"""`--jobs`: samples shared among processes are answered as they are in one."""

from __future__ import annotations

import json
import os
import pickle
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from parsers.errors import BadInput, UnsupportedModel
from tests.support.command_line import Files, Recert, Refused
from verifier.attack.replay import Replay
from verifier.problem.settings import Settings
from verifier.robustness.certify import parts
from verifier.robustness.classifier import Classifier
from verifier.robustness.dataset import Sample, load_dataset
from verifier.robustness.outcome import Outcome
from verifier.robustness.parallel import decided
from verifier.robustness.perturbation import Balls, Perturbation
from verifier.robustness.task import Task


def _told(text: str) -> dict[int, dict[str, object]]:
    """By sample, without what depends on which samples went together."""
    entries = [json.loads(line) for line in text.splitlines()]
    return {e.pop("index"): {k: v for k, v in e.items() if k not in ("seconds", "method")} for e in entries}


@pytest.mark.parametrize("command", [("certify", "--eps", 0.05), ("radius",)])
def test_answers_are_those_of_one_process(recert: Recert, tiny: Files, command: tuple[Any, ...]) -> None:
    name, *options = command
    one, two = (
        recert(name, tiny.model, tiny.data, *options, "--json", "-", "--jobs", jobs) for jobs in (1, 2)
    )
    assert (one.exit_code, two.exit_code) == (0, 0)
    expected, found = _told(one.stdout), _told(two.stdout)
    assert found.keys() == expected.keys() == set(range(len(tiny.labels)))
    for index, entry in found.items():
        for key, value in entry.items():
            close = pytest.approx(expected[index][key], rel=1e-6) if isinstance(value, float) else value
            assert expected[index][key] == close, (index, key)


def test_every_sample_is_in_one_portion() -> None:
    for count, size in ((1, 4), (5, 2), (16, 16), (100, 3)):
        found = list(parts(range(count), size))  # type: ignore[arg-type]
        assert [k for part in found for k in part] == list(range(count))
        assert max(map(len, found)) <= size


@pytest.mark.parametrize("count", [0, -1])
def test_no_jobs_at_all(refused: Refused, tiny: Files, count: int) -> None:
    assert "give at least 1" in refused("certify", tiny.model, tiny.data, "--eps", 0.1, "--jobs", count)


def test_lists_of_problems_reach_the_process_that_asked() -> None:
    error = pickle.loads(pickle.dumps(UnsupportedModel(["one thing", "another"])))
    assert error.problems == ["one thing", "another"]
    assert str(error) == "one thing; another"


@dataclass(frozen=True)
class Killed:
    """A question that ends its process, as the kernel does where memory is short."""

    def __call__(self, network: Classifier, samples: Sequence[Sample], balls: Balls) -> Iterator[Outcome]:
        del network, samples, balls
        os.kill(os.getpid(), signal.SIGKILL)
        return iter(())


@dataclass(frozen=True)
class Refusing:
    def __call__(self, network: Classifier, samples: Sequence[Sample], balls: Balls) -> Iterator[Outcome]:
        del network, balls
        raise BadInput(f"sample {samples[0].index} is not to be decided")


@pytest.mark.parametrize(
    ("question", "words"), [(Killed(), "give fewer jobs"), (Refusing(), "not to be decided")]
)
def test_what_ends_a_process_is_told(tiny: Files, question: Any, words: str) -> None:
    replay = Replay(tiny.model)
    data = load_dataset(tiny.data, replay.inputs)
    task: Task[Outcome] = Task(question, tiny.model, Perturbation(data.perturbed), Settings())
    with pytest.raises(BadInput, match=words):
        list(decided(task, data.groups(), 2, 1))
