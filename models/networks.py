"""The shipped architectures: one recurrent core, one linear layer on its last state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence


class Classifier(nn.Module):
    """Logits of a sequence from the state after its last frame.

    `x` is (batch, time, features), or (time, batch, features) where the core is not `batch_first`. A
    bidirectional core gives both directions' final states of the top layer. `by_output` reads the state from
    the sequence of outputs instead (unidirectional only): the same number, another graph in the export.
    """

    def __init__(self, core: nn.RNNBase, classes: int, by_output: bool = False) -> None:
        super().__init__()
        self.core, self.by_output = core, by_output
        self.directions = 2 if core.bidirectional else 1
        self.head = nn.Linear(self.directions * core.hidden_size, classes)

    def forward(self, x: Tensor) -> Tensor:
        outputs, state = self.core(x)
        if self.by_output:
            return self.head(outputs[:, -1] if self.core.batch_first else outputs[-1])
        return self.head(self._top(state))

    def padded(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Logits of zero-padded (batch, time, features) samples, each at its own length."""
        if not self.core.batch_first:
            x = x.transpose(0, 1)
        packed = pack_padded_sequence(x, lengths, self.core.batch_first, enforce_sorted=False)
        return self.head(self._top(self.core(packed)[1]))

    def _top(self, state: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        hidden = state if isinstance(state, Tensor) else state[0]  # (layers · directions, batch, H)
        return torch.cat([hidden[i] for i in range(-self.directions, 0)], dim=-1)


@dataclass(frozen=True)
class Recipe:
    """One network and how it is trained. `noise` and `attack` are the L∞ sizes of the augmentation."""

    name: str
    architecture: str
    data: str
    make: Callable[[], Classifier]
    epochs: int
    noise: float
    attack: float
    seed: int = 0


def _vowels(name: str, architecture: str, make: Callable[[], Classifier]) -> Recipe:
    return Recipe(f"vowels_{name}", f"{architecture}, linear → 9", "vowels", make, 60, noise=0.2, attack=0.1)


RECIPES = (
    _vowels("lstm", "LSTM 12 → 32", lambda: Classifier(nn.LSTM(12, 32, batch_first=True), 9, by_output=True)),
    _vowels("gru", "GRU 12 → 32", lambda: Classifier(nn.GRU(12, 32), 9)),
    _vowels("rnn", "tanh RNN 12 → 32", lambda: Classifier(nn.RNN(12, 32, batch_first=True), 9)),
    _vowels(
        "bilstm2",
        "two bidirectional LSTM layers 12 → 2·16 → 2·16",
        lambda: Classifier(nn.LSTM(12, 16, num_layers=2, bidirectional=True), 9),
    ),
    Recipe(
        "mnist_rows_lstm",
        "LSTM 28 → 64, linear → 10",
        "mnist_rows",
        lambda: Classifier(nn.LSTM(28, 64, batch_first=True), 10, by_output=True),
        epochs=20,
        noise=0.1,
        attack=0.02,
    ),
)
