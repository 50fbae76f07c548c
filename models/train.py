"""Train the shipped networks; `export.py` then writes them as ONNX files.

    python models/prepare_data.py && python models/train.py [NAME ...] && python models/export.py

All of them take about two CPU-minutes. Seeds are fixed and one thread is used, so a machine repeats itself;
another machine or torch release gives other weights of about the same accuracy. Every batch is seen with
uniform noise and moved by one signed gradient step (Goodfellow et al. 2015, from a random start), so that
certificates at radii near `Recipe.attack` have a chance to exist.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from networks import RECIPES, Classifier, Recipe
from prepare_data import BUILD, HERE
from torch import Tensor
from torch.nn.functional import cross_entropy


def load(path: Path) -> tuple[Tensor, Tensor, Tensor]:
    """`inputs` (N, T, F), `labels` (N,), `lengths` (N,); T everywhere where the file gives no lengths."""
    with np.load(path, allow_pickle=False) as data:
        inputs, labels = torch.from_numpy(data["inputs"]), torch.from_numpy(data["labels"])
        lengths = torch.from_numpy(data["lengths"]) if "lengths" in data else None
    if lengths is None:
        lengths = torch.full((len(inputs),), inputs.shape[1])
    return inputs, labels, lengths


def accuracy(network: Classifier, inputs: Tensor, labels: Tensor, lengths: Tensor) -> float:
    with torch.no_grad():
        return (network.padded(inputs, lengths).argmax(dim=1) == labels).double().mean().item()


def perturb(network: Classifier, x: Tensor, labels: Tensor, lengths: Tensor, recipe: Recipe) -> Tensor:
    """Noise, then one step up the loss's signed gradient; images stay in [0, 1]."""
    moved = x + recipe.noise * (2 * torch.rand_like(x) - 1)
    moved.requires_grad_()
    (gradient,) = torch.autograd.grad(cross_entropy(network.padded(moved, lengths), labels), moved)
    moved = moved.detach() + recipe.attack * gradient.sign()
    return moved.clamp(0, 1) if recipe.data == "mnist_rows" else moved


def train(recipe: Recipe) -> Classifier:
    torch.manual_seed(recipe.seed)
    network = recipe.make()
    inputs, labels, lengths = load(BUILD / f"{recipe.data}_train.npz")
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3, weight_decay=1e-2)
    batches = range(0, len(inputs), 32)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=5e-3, total_steps=recipe.epochs * len(batches)
    )
    for _ in range(recipe.epochs):
        order = torch.randperm(len(inputs))
        for start in batches:
            pick = order[start : start + 32]
            x = perturb(network, inputs[pick], labels[pick], lengths[pick], recipe)
            loss = cross_entropy(network.padded(x, lengths[pick]), labels[pick])
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
    return network.eval()


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for recipe in RECIPES:
        if names and recipe.name not in names:
            continue
        start = time.process_time()
        network = train(recipe)
        torch.save(network.state_dict(), BUILD / f"{recipe.name}.pt")
        print(
            f"{recipe.name}: train {accuracy(network, *load(BUILD / f'{recipe.data}_train.npz')):.4f}, "
            f"test {accuracy(network, *load(HERE / f'{recipe.data}_test.npz')):.4f}, "
            f"{time.process_time() - start:.0f} CPU-s",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
