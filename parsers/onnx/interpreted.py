"""What a file was read as."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from parsers.ir import Graph


@dataclass(frozen=True, slots=True, eq=False)
class Interpreted:
    """A graph, and what each value of the file's main graph became: a value of the graph or a constant."""

    graph: Graph
    origins: dict[str, str | np.ndarray]
    needs_check: bool  # read on an assumption that only a comparison can confirm
