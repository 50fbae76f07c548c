"""VNN-LIB queries about the shipped networks, each with a verdict that does not rest on recert.

    python models/make_queries.py       # needs models/build/*.pt from train.py; writes models/queries/

`unsat` is said where `proof.py` (affine arithmetic) excludes every case of the violation by more than `GAP`;
`sat` where onnxruntime confirms a point strictly inside the box that violates by more than `GAP`. Box centres
are test samples rounded to multiples of 2⁻¹² and radii are powers of two, so that every bound is a float32
number and its decimal is exact.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import cache
from itertools import islice

import numpy as np
import onnxruntime
import proof
import torch
from export import trained
from prepare_data import HERE
from problems import Array, Problem, Subject, Violation, decimal, robustness, target, text
from torch.nn.functional import one_hot

QUERIES = HERE / "queries"
GAP = 0.25
GRID = 2**12


# --- what is known ---------------------------------------------------------------------------------


def proved(problem: Problem) -> float:
    """The largest margin by which a case of the violation may hold; negative: `unsat`.

    All files of a subject hold the same weights, so those of the first one stand for all.
    """
    weights = proof.read(HERE / problem.subject.networks[0])
    bounds = {
        b: proof.differences(weights, problem.lower, problem.upper, b)
        for b in {b for case in problem.violation for _, b in case}
    }
    return float(max(min(bounds[b][a] for a, b in case) for case in problem.violation))


session = cache(onnxruntime.InferenceSession)


def logits(problem: Problem, x: Array) -> Iterator[Array]:
    """What each file of the subject makes of `x` (time, features)."""
    for network in problem.subject.networks:
        feed = {"x": x.astype(np.float32).reshape(problem.shape)}
        yield np.asarray(session(HERE / network).run(None, feed)[0])[0]


def achieved(problem: Problem, x: Array) -> float:
    """The margin by which `x` violates in onnxruntime, in every file; positive: `sat`."""
    outputs = list(logits(problem, x))
    return float(min(max(min(y[a] - y[b] for a, b in case) for case in problem.violation) for y in outputs))


def attack(problem: Problem, label: int, goal: int | None) -> Array:
    """The best of 100 projected signed-gradient steps from the centre, kept off the faces of the box."""
    network = trained(problem.subject.model)
    faces = problem.lower + 1 / (2 * GRID), problem.upper - 1 / (2 * GRID)
    low, high = (torch.from_numpy(side.astype(np.float32)) for side in faces)
    x = best = (low + high) / 2
    best_loss = -np.inf
    hide = 1e3 * one_hot(torch.tensor(label if goal is None else goal), problem.subject.classes)
    for step in range(100):
        x = x.detach().requires_grad_()
        y = network.padded(x[None], torch.tensor([len(x)]))[0]
        others = (y - hide).max()
        loss = others - y[label] if goal is None else y[goal] - others
        if loss.item() > best_loss:
            best, best_loss = x.detach(), loss.item()
        (gradient,) = torch.autograd.grad(loss, x)
        x = (x + (high - low) * 0.2 * (1 - step / 100) * gradient.sign()).clamp(low, high)
    return best.numpy()


# --- what is asked ---------------------------------------------------------------------------------


def samples(subject: Subject) -> Iterator[tuple[Array, int]]:
    """Test samples that fit, on the grid, (time, features), with their labels."""
    with np.load(HERE / f"{subject.data}_test.npz", allow_pickle=False) as arrays:
        inputs, labels = arrays["inputs"], arrays["labels"]
        lengths = arrays["lengths"] if "lengths" in arrays else np.full(len(inputs), inputs.shape[1])
    for x, label, length in zip(inputs, labels, lengths, strict=True):
        if subject.frames in (None, length):
            yield np.round(x[:length].astype(np.float64) * GRID) / GRID, int(label)


def ball(subject: Subject, x: Array, radius: float, violation: Violation, last: int | None = None) -> Problem:
    """`violation` on the L∞ ball around `x`, images ∩ [0, 1]; only the `last` frames move where given."""
    width = np.full_like(x, radius)
    if last is not None:
        width[:-last] = 0
    lower, upper = x - width, x + width
    if subject.data == "mnist_rows":
        lower, upper = lower.clip(0, 1), upper.clip(0, 1)
    where = "" if last is None else f", last {last} frames only"
    return Problem(subject, lower, upper, violation, f"{subject.data}, radius {decimal(radius)}{where}")


def robust(subject: Subject, radius: float, last: int | None = None) -> Problem:
    """The first of 40 samples whose robustness is proved."""
    for x, label in islice(samples(subject), 40):
        problem = ball(subject, x, radius, robustness(label, subject.classes), last)
        if proved(problem) < -GAP:
            return problem
    raise SystemExit(f"{subject.networks[0]}: no sample is proved at {radius}")


def broken(subject: Subject, radius: float, targeted: bool = False) -> tuple[Problem, Array]:
    """The first sample that is classified correctly at the centre and broken by the attack, and the point."""
    for x, label in samples(subject):
        problem = ball(subject, x, radius, robustness(label, subject.classes))
        if achieved(problem, x) > -GAP:
            continue
        goal = None
        if targeted:
            goal = int(next(logits(problem, x)).argsort()[-2])
            problem = ball(subject, x, radius, target(goal, subject.classes))
        point = attack(problem, label, goal)
        if achieved(problem, point) > GAP:
            return problem, point
    raise SystemExit(f"{subject.networks[0]}: no sample is broken at {radius}")


def contradiction(subject: Subject, radius: float, cases: int) -> Problem:
    """A misclassified sample: `predicted ≥ label` holds at the centre, but never with another class as well.

    Whoever reads the ands as ors answers `sat`.
    """
    for x, label in samples(subject):
        problem = ball(subject, x, radius, robustness(label, subject.classes))
        if achieved(problem, x) < GAP:
            continue
        order = (next(logits(problem, x))).argsort()
        predicted = int(order[-1])
        violation = [
            [(predicted, label), (int(low), label)][:: 1 - 2 * i] for i, low in enumerate(order[:cases])
        ]
        problem = ball(subject, x, radius, violation)
        if proved(problem) < -GAP:
            return problem
    raise SystemExit(f"{subject.networks[0]}: no misclassified sample serves")


def main() -> None:
    torch.set_num_threads(1)
    lstm = Subject(("vowels_lstm.onnx", "vowels_lstm_dynamo.onnx"), "vowels_lstm")
    lstm_15 = Subject(("vowels_lstm_15.onnx",), "vowels_lstm", frames=15)
    gru = Subject(("vowels_gru.onnx", "vowels_gru_dynamo.onnx"), "vowels_gru", time_first=True)
    rnn_15 = Subject(("vowels_rnn.onnx", "vowels_rnn_15_dynamo.onnx"), "vowels_rnn", frames=15)
    bilstm = Subject(("vowels_bilstm2.onnx", "vowels_bilstm2_dynamo.onnx"), "vowels_bilstm2", time_first=True)
    files = ("mnist_rows_lstm.onnx", "mnist_rows_lstm_dynamo.onnx")
    mnist = Subject(files, "mnist_rows_lstm", "mnist_rows", classes=10)
    unsat = {  # a name ends in the version of its VNN-LIB
        "vowels_lstm_robust_v2": robust(lstm, 2**-8),
        "vowels_lstm_robust_wide_v2": robust(lstm, 2**-5),
        "vowels_lstm_15_robust_v1": robust(lstm_15, 2**-8),
        "vowels_lstm_conjunction_v2": contradiction(lstm, 2**-8, cases=2),
        "vowels_lstm_15_conjunction_v1": contradiction(lstm_15, 2**-8, cases=1),
        "vowels_gru_robust_v2": robust(gru, 2**-8),
        "vowels_gru_robust_wide_v2": robust(gru, 2**-5),
        "vowels_gru_robust_v1": robust(gru, 2**-7),
        "vowels_gru_frames_v2": robust(gru, 2**-4, last=2),
        "vowels_rnn_15_robust_v2": robust(rnn_15, 2**-8),
        "mnist_rows_lstm_robust_v2": robust(mnist, 2**-10),
        "mnist_rows_lstm_robust_v1": robust(mnist, 2**-9),
    }
    sat = {
        "vowels_lstm_broken_v2": broken(lstm, 2**-2),
        "vowels_lstm_15_broken_v1": broken(lstm_15, 2**-2),
        "vowels_gru_broken_v2": broken(gru, 2**-2),
        "vowels_gru_target_v1": broken(gru, 2**-2, targeted=True),
        "vowels_rnn_15_broken_v2": broken(rnn_15, 2**-2),
        "vowels_bilstm2_broken_v2": broken(bilstm, 2**-2),
        "mnist_rows_lstm_target_v2": broken(mnist, 2**-4, targeted=True),
        "mnist_rows_lstm_broken_v1": broken(mnist, 2**-4),
    }
    verdicts = {
        name: (problem, "unsat", f"affine arithmetic: every case fails by at least {-proved(problem):.2f}")
        for name, problem in unsat.items()
    } | {
        name: (problem, "sat", f"counterexample: holds by {achieved(problem, point):.2f} in onnxruntime")
        for name, (problem, point) in sat.items()
    }
    QUERIES.mkdir(exist_ok=True)
    with (QUERIES / "expected.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("network", "query", "verdict", "reason"))
        for name, (problem, verdict, reason) in sorted(verdicts.items()):
            (QUERIES / f"{name}.vnnlib").write_text(text(problem, int(name[-1]), verdict))
            networks = problem.subject.networks
            table.writerows((network, f"{name}.vnnlib", verdict, reason) for network in networks)
    points = {name: point.reshape(problem.shape) for name, (problem, point) in sat.items()}
    np.savez_compressed(QUERIES / "counterexamples.npz", **points)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
