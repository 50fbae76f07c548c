"""Why a question is undecided: the gate named costs the bound most, and the outlook follows the trend."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest
import torch

from parsers import read_onnx
from tests.support.networks.classifiers import FEATURES, STEPS, write_network
from verifier.problem.budget import Budget
from verifier.problem.region import ball_region
from verifier.problem.settings import Settings
from verifier.proof.branching.trend import Trend
from verifier.proof.prover import Prover


def test_a_trend_is_continued() -> None:
    trend = Trend()
    # the first rises by .1 with every doubling, the second does not, the third is done
    for doublings in range(6):
        trend.note(10 * 2**doublings, torch.tensor([-0.8 + 0.1 * doublings, -1.0, 0.5]))
    rising, stuck, done = trend.outlook()
    assert rising == pytest.approx(2.0 ** (0.3 / 0.1), rel=0.01)
    assert stuck == math.inf
    assert done == 1.0


def test_one_look_makes_no_trend() -> None:
    trend = Trend()
    assert trend.outlook() == []
    trend.note(1, torch.tensor([-1.0, -2.0]))
    assert trend.outlook() == [math.inf, math.inf]


def test_open_margins_say_why(tmp_path: Path) -> None:
    verifier = Prover(read_onnx(write_network("lstm", tmp_path)), Settings(slope_steps=3))
    x = torch.randn(2, STEPS * FEATURES, generator=torch.Generator().manual_seed(3))
    labels = torch.tensor([0, 1])
    wide = verifier.margins(ball_region(x, 3.0, torch.inf), labels, Budget(time.monotonic() + 1))
    words = ("the bound is -", "% of the relaxation error is in sigmoid_", "at time step")
    assert all(word in why for why in wide.why for word in words)
    advice = ("more time alone", "times the time", "the time was over")
    assert all(any(words in why for words in advice) for why in wide.why)
    shown = float(wide.lower[0])
    assert f"the bound is {shown:.3g};" in wide.why[0]
    predicted = verifier.margins(ball_region(x, 0.0, torch.inf), labels)
    assert [bool(why) for why in predicted.why] == [float(low) <= 0 for low in predicted.lower]
