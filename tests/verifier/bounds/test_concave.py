"""Least values of concave quadratic functions: below what a search finds, near it, wrong ones caught."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from tests.support.plane_checks import built
from verifier.bounds import concave
from verifier.bounds.concave import CONCAVE, Half, Terms, least

ROWS = 5
GAMMAS = (0.0, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)

for_both_ways = pytest.mark.parametrize(
    "way",
    [
        pytest.param(CONCAVE.reference, id="torch"),
        pytest.param(CONCAVE, id="compiled", marks=built),
    ],
)


def _posed(count: int, entries: int, kind: str, parts: int = 2) -> tuple[Terms, Tensor, Half]:
    """Terms of five rows, some of them awkward, linear functions, and a half-space that takes much away."""
    generator = torch.Generator().manual_seed(count + entries)
    place = torch.randn(count, parts, 1 + entries, generator=generator)
    if kind == "alike":
        place = place[:1] + 1e-3 * place
    if kind == "sparse":
        place[..., 1 + entries // 2 :] = 0.0
        place[::2, 1:] = 0.0  # terms of one operand
    if kind == "central":
        place[..., 0] = 0.0
    place = place / place.abs().sum(-1, keepdim=True).clamp_min(1e-9)
    omega = torch.rand(ROWS, count, parts, generator=generator).double()
    omega[1] = 0.0
    omega[2, 1:] = 0.0
    omega[3] *= 10.0 ** -torch.arange(count)[:, None].clamp_max(30)
    if kind == "uneven":
        place[::2] *= 1e-6
        omega[:, ::3] *= 1e-6
    value = 0.4 * omega.sum(-1)
    linear = torch.randn(ROWS, 1 + entries, generator=generator).double() / entries
    linear[4] *= 1e3
    linear[:, 0] = 0.0
    if kind == "central":
        linear[:] = 0.0
    normal = torch.randn(1 + entries, generator=generator).double()
    normal[0] = 0.0
    place = pad(place, (0, -place.shape[-1] % concave.LANES)).contiguous()
    more = place.shape[-1] - 1 - entries
    half = Half.of(pad(normal, (0, more)), float(0.3 * normal.abs().sum()))
    pick = torch.arange(count).expand(ROWS, -1)
    return Terms(place, pick, omega, value), pad(linear, (0, more)), half


def _values(terms: Terms, row: int, keep: Tensor, linear: Tensor, z: Tensor) -> Tensor:
    """Of a row's function with the terms of `keep`, at z [P, G] with ones in front."""
    w = torch.einsum("kmg,pg->pkm", terms.place.double(), z)
    each = terms.value[row] - (terms.omega[row] * w * w).sum(-1)
    return z @ linear[row] + each[:, keep].sum(-1)


def _lowest(terms: Terms, row: int, keep: Tensor, linear: Tensor, half: Half | None) -> float:
    """The least that a search finds: from each point to the corner that is best for the function's tangent
    there and some multiple of the half-space."""
    size = terms.place.shape[-1]
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(64, size, generator=generator, dtype=torch.float64)
    z = torch.cat([z, terms.place.flatten(0, 1).double(), -linear[row : row + 1]])
    z = z / z.abs().amax(-1, keepdim=True).clamp_min(1e-300)
    place = terms.place.double()
    best = torch.inf
    for _ in range(15):
        z[:, 0] = 1.0
        there = z if half is None else z[z @ half.normal.double() + half.constant <= 0]
        if len(there):
            best = min(best, float(_values(terms, row, keep, linear, there).min()))
        if not len(z):
            break
        w = torch.einsum("kmg,pg->pkm", place, z) * (terms.omega[row] * keep.unsqueeze(-1))
        slope = linear[row] - 2 * torch.einsum("pkm,kmg->pg", w, place)
        if half is None:
            z = -slope.sign()
            continue
        scale = slope.abs().mean(-1, keepdim=True)
        tried = torch.stack([-(slope + gamma * scale * half.normal.double()).sign() for gamma in GAMMAS], 1)
        inside = tried @ half.normal.double() + half.constant <= 0
        first = inside.int().argmax(1)
        z = tried.gather(1, first[:, None, None].expand(-1, 1, size))[:, 0][inside.any(1)]
    return best


@for_both_ways
@pytest.mark.parametrize("cut", [False, True], ids=["box", "half"])
@pytest.mark.parametrize("kind", ["random", "alike", "sparse", "uneven", "central"])
@pytest.mark.parametrize(("count", "entries"), [(1, 1), (3, 40), (40, 3), (70, 90)])
def test_no_corner_is_below_the_bound(count: int, entries: int, kind: str, cut: bool, way: Any) -> None:
    terms, linear, half = _posed(count, entries, kind)
    half = half if cut else None
    keep, found = way(terms, linear.float(), half)
    exact = linear.float().double()
    for row in range(ROWS):
        bound = float(found[row] + terms.value[row, keep[row]].sum())
        assert bound <= _lowest(terms, row, keep[row], exact, half) + 1e-12
        assert bound > -1e9


@for_both_ways
def test_the_bound_is_nearly_what_a_search_finds(way: Any) -> None:
    terms, linear, _ = _posed(150, 300, "random")
    terms = replace(terms, value=10 * terms.value)
    keep, found = way(terms, linear.float(), None)
    assert bool(keep[0].all())
    kept = float(terms.value[0].sum())
    lost = kept - float(found[0] + kept)
    assert lost < 1.7 * (kept - _lowest(terms, 0, keep[0], linear, None))


@for_both_ways
def test_linear_functions_alone_are_exact(way: Any) -> None:
    terms, linear, half = _posed(3, 40, "random")
    terms = replace(terms, omega=0 * terms.omega, value=0 * terms.value)
    keep, found = way(terms, linear.float(), None)
    assert not bool(keep.any())
    torch.testing.assert_close(found, -linear.abs().sum(-1), rtol=1e-3, atol=1e-6)
    _, cut = way(terms, linear.float(), half)
    for row in range(ROWS):
        best = max(
            gamma * half.constant - float((linear[row] + gamma * half.normal.double()).abs().sum())
            for gamma in torch.linspace(0, 50 * float(linear[row].abs().mean()), 2000).tolist()
        )
        assert float(cut[row]) == pytest.approx(best, rel=2e-2)


@for_both_ways
def test_what_is_bounded_together_is_higher(way: Any) -> None:
    """Than what is at its own worst each; and a half-space makes it higher still."""
    terms, linear, half = _posed(70, 90, "random")
    keep, alone = way(terms, 0 * linear.float(), None)
    same = replace(terms, value=terms.value.masked_fill(keep, 1e6))
    together, cut = (way(same, linear.float(), h)[1] for h in (None, half))
    alone = way(same, 0 * linear.float(), None)[1]
    assert float(together[0]) > float(alone[0] - linear[0].abs().sum()) + 0.05
    assert float(cut[0]) > float(together[0]) + 0.05


@for_both_ways
def test_terms_that_lose_more_than_they_are_worth_go(way: Any) -> None:
    terms, linear, _ = _posed(70, 90, "random")
    terms.value[:, ::2] *= 1e-3
    keep, found = way(terms, 0.1 * linear.float(), None)
    _, of_all = way(replace(terms, value=1e9 * terms.value), 0.1 * linear.float(), None)
    assert not bool(keep[0, ::2].any())
    won = float(found[0] + terms.value[0, keep[0]].sum())
    assert won > float(of_all[0] + terms.value[0].sum())


@built
def test_both_ways_agree() -> None:
    terms, linear, half = _posed(70, 90, "random")
    for cut in (None, half):
        one, other = (way(terms, linear.float(), cut) for way in (CONCAVE.reference, CONCAVE))
        assert torch.equal(one[0], other[0])
        torch.testing.assert_close(one[1], other[1], rtol=5e-3, atol=1e-6)


def test_what_single_precision_leaves_of_a_half_space_is_more() -> None:
    normal = pad(torch.randn(40, generator=torch.Generator().manual_seed(0)).double(), (1, 0))
    half = Half.of(normal, 1.0)
    z = torch.cat([torch.ones(1), (normal[1:] - half.normal[1:].double()).sign()]).double()
    assert float(z @ half.normal.double()) + half.constant <= float(z @ normal) + 1.0
    few = half.of_entries(torch.arange(8), 16)
    z[8:] = -half.normal[8:].sign()
    assert (
        float(z[:8] @ few.normal[:8].double()) + few.constant
        <= float(z @ half.normal.double()) + half.constant
    )
    assert float(few.constant) == pytest.approx(half.constant - float(half.normal[8:].abs().sum()), rel=1e-6)


def test_linear_parts_beyond_single_precision_count() -> None:
    """Digits of the linear function that float32 drops may lose all they are."""
    terms, linear, _ = _posed(40, 3, "random")
    linear = 1e6 * linear
    found = least(terms, linear)
    for row in range(ROWS):
        z = torch.cat([torch.ones(1, dtype=torch.float64), -linear[row, 1:].sign()])[None]
        each = terms.value[row] - (terms.omega[row] * (terms.place.double() @ z[0]) ** 2).sum(-1)
        assert float(found[row]) <= float(z[0] @ linear[row] + each.clamp_min(0.0).sum())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("- lost - 1e-11", "- 0.5 * lost - 1e-11"),  # the last term of the bound
        ("scaled = t * total + square / t", "scaled = t * total + 0 * square / t"),
        ("q = w - c / t[:, None]", "q = w + 0 * c / t[:, None]"),
        ("(1 - less)[:, None, None]", "(2 - less)[:, None, None]"),
        ("gain - scaled", "gain * 2 - scaled"),
    ],
)
def test_bounds_that_are_wrong_are_caught(old: str, new: str) -> None:
    """Each of these is found to be above some point."""
    source = inspect.getsource(concave._bound)  # pyright: ignore[reportPrivateUsage]
    assert old in source
    wrong = dict(vars(concave))
    exec(source.replace(old, new), wrong)
    caught = False
    for scale in (0.3, 1.0, 3.0):
        for kind, cut in (("alike", False), ("alike", True), ("sparse", False)):
            terms, linear, half = _posed(70, 90, kind)
            terms = replace(terms, value=1e3 * terms.value)
            linear = scale * linear
            half = half if cut else None
            ascended = concave._ascended(terms, linear.float(), half, 12)  # pyright: ignore[reportPrivateUsage]
            found = wrong["_bound"](ascended)
            for row in range(ROWS):
                keep = ascended.keep[row]
                bound = float(found[row] + terms.value[row, keep].sum())
                caught |= bound > _lowest(terms, row, keep, linear.float().double(), half) + 1e-9
    assert caught
