"""Accuracy that a projected-gradient attack leaves standing: how robust the shipped networks can at most be.

    python models/attack.py [NAME ...]       # needs models/build/*.pt from train.py

L∞ balls around the first 200 test samples, 2 random starts of 30 signed-gradient steps on the margin (Madry
et al. 2018), images kept in [0, 1]. An upper bound of every sound certified accuracy.
"""

from __future__ import annotations

import sys

import torch
from export import trained
from networks import RECIPES, Classifier
from prepare_data import HERE
from torch import Tensor
from torch.nn.functional import one_hot
from train import load

RADII = {"vowels": (0.01, 0.02, 0.05, 0.1, 0.2), "mnist_rows": (0.005, 0.01, 0.02, 0.05, 0.1)}
STEPS = 30


def broken(
    network: Classifier, inputs: Tensor, labels: Tensor, lengths: Tensor, radius: float, images: bool
) -> Tensor:
    """Which samples (N,) some point of the ball misclassifies."""
    low, high = inputs - radius, inputs + radius
    if images:
        low, high = low.clamp(0, 1), high.clamp(0, 1)
    found = torch.zeros(len(inputs), dtype=torch.bool)
    own = one_hot(labels, network.head.out_features).bool()
    for _ in range(2):
        x = low + (high - low) * torch.rand_like(inputs)
        for step in range(STEPS):
            x = x.detach().requires_grad_()
            logits = network.padded(x, lengths)
            margin = logits[own] - logits.masked_fill(own, -torch.inf).amax(dim=1)
            found |= margin <= 0
            (gradient,) = torch.autograd.grad(margin.sum(), x)
            x = (x - 0.2 * radius * (1 - step / STEPS) * gradient.sign()).clamp(low, high)
    return found


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for recipe in RECIPES:
        if names and recipe.name not in names:
            continue
        network = trained(recipe.name)
        inputs, labels, lengths = (part[:200] for part in load(HERE / f"{recipe.data}_test.npz"))
        for radius in RADII[recipe.data]:
            hit = broken(network, inputs, labels, lengths, radius, recipe.data == "mnist_rows")
            print(f"{recipe.name}, radius {radius}: {100 * (~hit).double().mean():.1f} % stand", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
