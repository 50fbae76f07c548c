"""What is wrong with the options, told before anything heavy is imported: one line for each mistake.

A function takes an option as it was written and returns what it means, or raises `Mistakes` with a line that
says what to write instead. `Checked` runs several and tells all mistakes at once.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

from verifier.cli.process import Mistakes
from verifier.problem.method import OLD_NAMES, Method

if TYPE_CHECKING:
    from verifier.cli.options import Machine, Samples

P = ParamSpec("P")
T = TypeVar("T")
Ranges = tuple[tuple[int, int], ...]
Values = float | list[float]
Count = TypeVar("Count", int, int | None)

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("float64", "float32")
METHODS = tuple(method.about.name for method in Method)


class Checked:
    """Collects mistakes: `checked(f, *arguments)` is what `f` returns, and means nothing where `f` raises.

    Inside `with`; its end raises `Mistakes` if there were any.
    """

    def __init__(self) -> None:
        self._problems: list[str] = []

    def __call__(self, check: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        try:
            return check(*arguments, **options)
        except Mistakes as mistakes:
            self._problems += mistakes.problems
            return cast(T, None)

    def end(self) -> None:
        if self._problems:
            raise Mistakes(self._problems)


def mistake(text: str) -> Mistakes:
    return Mistakes([text])


# ---- files


def readable(path: Path, suffixes: Sequence[str], of: str = "") -> Path:
    """`path`, if it is a file that can be read; `of` stands before its name in what is said otherwise."""
    if path.is_dir():
        raise mistake(f"{of}{path}: it is a folder; {_files_in(path, suffixes)}")
    if not path.exists():
        raise mistake(f"{of}{path}: no such file; {_near(path, suffixes)}")
    if not os.access(path, os.R_OK):
        raise mistake(f"{of}{path}: it may not be read; chmod u+r '{path}' allows it")
    return path


def _near(path: Path, suffixes: Sequence[str]) -> str:
    """What may have been meant instead of a file that does not exist."""
    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {folder} either"
    names = _names(folder, suffixes)
    close = difflib.get_close_matches(path.name, names, 1)
    return f"did you mean {folder / close[0]}?" if close else _files_in(folder, suffixes)


def _files_in(folder: Path, suffixes: Sequence[str]) -> str:
    names = _names(folder, suffixes)
    where = "this folder" if folder == Path() else str(folder)
    if not names:
        return f"{where} holds no {suffixes[0]} file; find . -name '*{suffixes[0]}' looks further down"
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{where} holds {', '.join(names[:3])}{more}"


def _names(folder: Path, suffixes: Sequence[str]) -> list[str]:
    try:
        return sorted(p.name for p in folder.iterdir() if p.name.endswith(tuple(suffixes)))
    except OSError:
        return []


def model(path: Path, of: str = "") -> Path:
    return readable(path, (".onnx", ".onnx.gz"), of)


def data(path: Path) -> Path:
    return readable(path, (".npz",))


def query(path: Path) -> Path:
    return readable(path, (".vnnlib", ".vnnlib.gz"))


def network(text: str) -> str:
    """`NAME=MODEL.onnx` or `MODEL.onnx`, as `--network` takes it."""
    name, _, path = text.rpartition("=")
    if not text or (name and not path):
        raise mistake(f"--network {text}: no file is named; write NAME=MODEL.onnx or just MODEL.onnx")
    if not Path(text).is_file():
        model(Path(text.partition("=")[2] or text), "--network ")
    return text


def writable(path: Path | None) -> Path | None:
    """`--json FILE`; `-` is standard output. The file is not touched."""
    if path is None or str(path) == "-":
        return path
    if path.is_dir() or not path.parent.is_dir():
        raise mistake(f"--json {path}: it cannot be written; name a file in a folder that exists")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise mistake(f"--json {path}: it may not be written; name a file in a folder of your own")
    return path


def folder(path: Path | None) -> Path | None:
    """`--serialise-assignments DIR`, made if it does not exist."""
    try:
        if path is not None:
            path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise mistake(
            f"--serialise-assignments {path}: cannot be made ({error.strerror}); name a folder of your own"
        ) from error
    return path


# ---- numbers


def number(text: str, name: str) -> float:
    """`0.03`, `1e-3` or `8/255`."""
    try:
        return float(Fraction(text)) if "/" in text else float(text)
    except (ValueError, ZeroDivisionError, OverflowError):
        commas = text.replace(",", ".")
        example = commas if re.fullmatch(r"\d*\.\d+", commas) else "0.03"
        raise mistake(f"{name} {text}: it is no number; write {name} {example} or {name} 8/255") from None


def radius(text: str, name: str = "--eps", *, zero: bool = True) -> float:
    eps = number(text, name)
    if not math.isfinite(eps) or eps < 0 or (eps == 0 and not zero):
        raise mistake(f"{name} {text}: give a finite number, {'0 or more' if zero else 'greater than 0'}")
    return eps


def norm_order(text: str) -> float:
    """`inf`, `Linf`, `l2`, `2`, `1.5` … → p ≥ 1."""
    plain = re.sub(r"^l[_-]?", "", text.strip().lower())
    try:
        p = float("inf" if plain in ("∞", "infinity", "max") else plain)
    except ValueError:
        p = math.nan
    if math.isnan(p) or p < 1:
        raise mistake(f"--norm {text}: it is no norm; write --norm inf, 2, 1 or any number from 1 up")
    return p


def timeout(seconds: float | None) -> float | None:
    if seconds is not None and not seconds > 0:
        raise mistake(f"--timeout {seconds:g}: give a number of seconds greater than 0, or leave it out")
    return seconds if seconds is None or math.isfinite(seconds) else None


def at_least(count: Count, least: int, name: str, unit: str = "") -> Count:
    if count is not None and count < least:
        raise mistake(f"{name} {count}: give at least {least}{unit}")
    return count


def clip(low_high: tuple[str, str] | None) -> tuple[float, float] | None:
    if low_high is None:
        return None
    low, high = (number(text, "--clip") for text in low_high)
    if not low <= high:
        raise mistake(f"--clip {low:g} {high:g}: the first number must not exceed the second")
    return low, high


def choice(text: str, names: Sequence[str], option: str) -> str:
    if text not in names:
        close = difflib.get_close_matches(text, names, 1)
        meant = f"did you mean {option} {close[0]}? There are " if close else "take one of "
        raise mistake(f"{option} {text}: {meant}{', '.join(names)}")
    return text


def method(text: str) -> Method:
    """A method by its name, or by one that it had."""
    return OLD_NAMES.get(text) or Method(choice(text, METHODS, "--method"))


# ---- NAME=…


def bindings(items: Iterable[str]) -> dict[str, Sequence[int] | int]:
    """`time=20` → {"time": 20}, `x=1x20x12` → {"x": (1, 20, 12)}."""
    found: dict[str, Sequence[int] | int] = {}
    for item in items:
        name, _, size = item.rpartition("=")
        parts = size.split("x")
        if not name or not all(part.isdecimal() and int(part) > 0 for part in parts):
            raise mistake(f"--bind {item}: write NAME=20 for a dimension, NAME=1x20x12 for an input's shape")
        sizes = tuple(int(part) for part in parts)
        found[name] = sizes[0] if len(sizes) == 1 else sizes
    return found


def fixed(items: Iterable[str]) -> dict[str, Values]:
    """`sr=16000` → {"sr": 16000}, `lengths=3,5` → {"lengths": [3, 5]}; `true` and `false` are 1 and 0."""
    found: dict[str, Values] = {}
    for item in items:
        name, _, text = item.rpartition("=")
        values = [{"true": "1", "false": "0"}.get(v.strip().lower(), v) for v in text.split(",")]
        try:
            numbers = [int(v) if v.strip().lstrip("+-").isdecimal() else float(v) for v in values]
        except ValueError:
            name, numbers = "", []
        if not name or not all(math.isfinite(n) for n in numbers):
            raise mistake(f"--fix {item}: write NAME=16000, or NAME=3,5 for several numbers in order")
        found[name] = numbers[0] if len(numbers) == 1 else numbers
    return found


# ---- what may move
#
# RANGES    =  indices and ranges: 0,3-5,-1                   negative ones count from the end
# --frames  =  [STEPS] [":" FEATURES]      (of old)   STEPS = "" | RANGES | "each" ["," RANGES]


def ranges(text: str | None, name: str) -> Ranges | None:
    """`0-4,-1` → ((0, 4), (-1, -1)); None stands for all."""
    if text is None:
        return None
    return tuple(_range(item, text, name) for item in text.replace(" ", "").split(","))


def _range(item: str, text: str, name: str) -> tuple[int, int]:
    match = re.fullmatch(r"(-?\d+)(?:-(-?\d+))?", item)
    if match is None:
        raise mistake(
            f"{name} '{text}': '{item}' is neither an index nor a range such as 3-5; write {name}=0-4,-1"
        )
    first, last = int(match[1]), int(match[2] or match[1])
    if first > last and (first < 0) == (last < 0):
        raise mistake(f"{name} '{text}': {item} runs backwards; write {name}={last}-{first}")
    return first, last


def frames(spec: str) -> tuple[str | None, str | None, bool]:
    """`--frames SPEC` in the words of today: `--steps`, `--features`, `--per-step`."""
    steps, colon, features = spec.replace(" ", "").partition(":")
    if not steps and not features:
        raise mistake(f"--frames '{spec}' chooses nothing; write --steps=0-4,-1 or --features=0,1")
    per_step = steps == "each" or steps.startswith("each,")
    steps = steps.removeprefix("each").removeprefix(",") if per_step else steps
    return steps or None, features if colon else None, per_step


# ---- whole commands


@dataclass(frozen=True, slots=True)
class Asked:
    """What `certify` or `radius` is asked about samples, every option read: see `verifier.cli.options`."""

    model: Path
    data: Path
    p: float
    clip: tuple[float, float] | None
    steps: Ranges | None
    features: Ranges | None
    per_step: bool
    output: str | None
    fixed: Mapping[str, Values]
    limit: int | None
    json: Path | None
    timeout: float | None
    method: Method
    jobs: int


def asked(samples: Samples, where: Machine, checked: Checked) -> Asked:
    """`samples`, read. Mistakes are left with `checked`."""
    machine(where, checked)
    spec = samples.steps, samples.features, samples.per_step
    if samples.frames is not None:
        if any(spec):
            checked(_refuse, f"--frames {samples.frames} says what --steps and --features say; leave it out")
        spec = checked(frames, samples.frames) or spec
    steps, features, per_step = spec
    if samples.jobs > 1 and where.device == "cuda":
        checked(_refuse, f"--jobs {samples.jobs}: several processes share no GPU; give --device cpu")
    return Asked(
        checked(model, samples.model),
        checked(data, samples.data),
        checked(norm_order, samples.norm),
        checked(clip, samples.clip),
        checked(ranges, steps, "--steps"),
        checked(ranges, features, "--features"),
        per_step,
        samples.output,
        checked(fixed, samples.fix or ()),
        checked(at_least, samples.limit, 1, "--limit"),
        checked(writable, samples.json),
        checked(timeout, samples.timeout),
        checked(method, samples.method),
        checked(at_least, samples.jobs, 1, "--jobs"),
    )


def _refuse(text: str) -> None:
    raise mistake(text)


def machine(machine: Machine, checked: Checked) -> None:
    checked(choice, machine.device, DEVICES, "--device")
    checked(choice, machine.dtype, PRECISIONS, "--dtype")
    checked(at_least, machine.threads, 1, "--threads")
    checked(at_least, machine.memory, 1, "--memory", " (MiB)")
    checked(at_least, machine.seed, 0, "--seed")
