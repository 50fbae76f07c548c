"""Which input entries may change: chosen frames, chosen features, one ball for all or one for each frame.

SPEC      =  FRAMES [":" FEATURES]
FRAMES    =  "" (all)  |  LIST  |  "each" ["," LIST]        each: every frame has a ball of its own
FEATURES  =  LIST
LIST      =  indices and ranges: 0,3-5,-1                   negative ones count from the end

"0-4,-1"   the first five frames and the last      ":0,1"   features 0 and 1 of every frame
"each"     a ball for every frame                  "each,3-5:0"   feature 0 of frames 3 to 5, a ball each
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from parsers.errors import BadInput
from parsers.ir import Graph, Scan
from verifier.network.evaluator import Evaluator

_ROWS = 256  # entries traced at once


@dataclass(frozen=True, slots=True)
class FrameChoice:
    """A parsed SPEC; None stands for all."""

    frames: tuple[tuple[int, int], ...] | None = None
    features: tuple[tuple[int, int], ...] | None = None
    per_frame: bool = False


def parse_choice(spec: str) -> FrameChoice:
    """Read a SPEC (see above). Raises `BadInput`."""
    frames, colon, features = spec.replace(" ", "").partition(":")
    if not frames and not features:
        raise BadInput(f"--frames '{spec}' chooses nothing; write e.g. 0-4,-1 or each or 3:0,1")
    items = frames.split(",") if frames else []
    per_frame = bool(items) and items[0] == "each"
    chosen = items[1:] if per_frame else items
    return FrameChoice(
        tuple(_range(item, spec) for item in chosen) if chosen else None,
        tuple(_range(item, spec) for item in features.split(",")) if colon else None,
        per_frame,
    )


def movable_groups(graph: Graph, name: str, choice: FrameChoice | None = None) -> Tensor:
    """For `ball_region`: the ball [n] of each entry of all inputs, −1 where it stays as it is.

    Input `name` moves, as `choice` says; other inputs do not. Raises `BadInput` for frames or features
    that do not exist, or where frames cannot be told apart.
    """
    group = {v.name: torch.full((math.prod(v.shape),), -1) for v in graph.inputs}
    if choice is None:
        group[name] = torch.zeros_like(group[name])
    else:
        frame = frame_of_entries(graph, name)
        chosen, feature = torch.zeros_like(frame, dtype=torch.bool), _rank_within(frame)
        count = int(frame.max()) + 1
        for first, last in _absolute(choice.frames, count, "frame"):
            chosen |= (frame >= first) & (frame <= last)
        allowed = torch.zeros_like(chosen)
        for first, last in _absolute(choice.features, int(feature.max()) + 1, "feature"):
            allowed |= (feature >= first) & (feature <= last)
        ball = frame if choice.per_frame else torch.zeros_like(frame)
        group[name] = torch.where(chosen & allowed & (frame >= 0), ball, -1)
    return torch.cat([group[v.name] for v in graph.inputs])


def frame_of_entries(graph: Graph, name: str) -> Tensor:
    """The frame of the first scan that each entry of input `name` (flattened) goes into; −1 for none.

    Found by running the part of the graph before the scan with NaN in one entry at a time: whatever the
    layout of the input is, the frames that turn into NaN are the ones that the entry is part of.
    Raises `BadInput` if no scan reads this input or if an entry is part of several frames.
    """
    for index, scan in enumerate(graph.nodes):
        if not isinstance(scan, Scan):
            continue
        for sequence in scan.sequences:
            touched = _frames_touched(replace(graph, nodes=graph.nodes[:index], outputs=(sequence,)), name)
            if not bool(touched.any()):
                continue
            if bool((touched.sum(dim=1) > 1).any()):
                raise BadInput(
                    f"entries of input '{name}' reach several frames at once (a convolution?), "
                    "so --frames cannot tell frames apart; choose the norm over the whole input"
                )
            return torch.where(touched.any(dim=1), touched.int().argmax(dim=1), -1)
    raise BadInput(f"no recurrence reads input '{name}', so that it has no frames; leave --frames out")


def _frames_touched(prefix: Graph, name: str) -> Tensor:
    """[entries of input `name`, frames of the only output of `prefix`]."""
    run = Evaluator(prefix)
    shapes = {v.name: v.shape for v in prefix.inputs}
    size = math.prod(shapes[name])
    touched = []
    for rows in torch.arange(size).split(_ROWS):
        x = torch.zeros(len(rows), size, dtype=torch.float64)
        x[torch.arange(len(rows)), rows] = math.nan
        fed = {n: torch.zeros(shape, dtype=torch.float64) for n, shape in shapes.items()}
        (frames,) = run({**fed, name: x.reshape(-1, *shapes[name])}).values()
        touched.append(frames.isnan().flatten(2).any(dim=2) if frames.ndim > 2 else frames.isnan())
    return torch.cat(touched)


def _rank_within(frame: Tensor) -> Tensor:
    """The place of each entry among the entries of its frame, in the order of the input; −1 for none."""
    rank = torch.full_like(frame, -1)
    for f in range(int(frame.max()) + 1):
        members = torch.nonzero(frame == f).flatten()
        rank[members] = torch.arange(len(members))
    return rank


def _range(item: str, spec: str) -> tuple[int, int]:
    match = re.fullmatch(r"(-?\d+)(?:-(-?\d+))?", item)
    if match is None:
        raise BadInput(f"--frames '{spec}': '{item}' is neither an index nor a range such as 3-5")
    first = int(match[1])
    return first, first if match[2] is None else int(match[2])


def _absolute(ranges: tuple[tuple[int, int], ...] | None, count: int, kind: str) -> list[tuple[int, int]]:
    if ranges is None:
        return [(0, count - 1)]
    found = []
    for first, last in ranges:
        low, high = (i + count if i < 0 else i for i in (first, last))
        if not 0 <= low <= high < count:
            asked = str(first) if first == last else f"{first}-{last}"
            raise BadInput(f"--frames asks for {kind} {asked}, but there are only {count}: 0 to {count - 1}")
        found.append((low, high))
    return found
