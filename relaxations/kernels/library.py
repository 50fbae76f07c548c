"""The one shared library with every function in C: found, held against its sources, and opened.

`setup.py` builds it from all C sources of the packages. It is plain C behind ctypes, no extension of Python,
and the same for every version of it. Nothing needs it: each function has a reference in torch
(`relaxations.kernels.kernel`). A library of other sources than those that lie beside the Python code is
refused: each holds the hash of its own.

Nothing here imports torch, so that `recert --version` may ask.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

PACKAGES = ("relaxations", "verifier")  # in which C stands beside Python
ROOT = Path(__file__).parents[2]
FILE = Path("relaxations", "kernels", "kernels.dll" if sys.platform == "win32" else "kernels.so")
SWITCH = "RECERT_KERNELS"
MODES = ("", "require", "off")
"""Of the environment variable: C where it is there, with one line on stderr where it is not; an error where
it is not; never C."""
REBUILD = "`pip install --editable .` in the checkout, or `pip install .`, builds it with any C compiler"


@dataclass(frozen=True)
class Library:
    """What was found: the `handle` where the library is in use, else the `reason` why it is not.

    `build` is the hash of the sources here, `instructions` the set for which the functions run on this
    processor,
    `mode` what RECERT_KERNELS asks for."""

    path: Path | None = None
    handle: ctypes.CDLL | None = None
    instructions: str = ""
    build: str = ""
    reason: str = ""
    mode: str = ""


def sources(root: Path, endings: tuple[str, ...] = (".c", ".h")) -> list[Path]:
    """Those of all packages under `root`, in one order on every machine."""
    found = (path for package in PACKAGES for path in (root / package).rglob("*.[ch]"))
    return sorted((path for path in found if path.suffix in endings), key=lambda path: path.as_posix())


def build_hash(root: Path) -> str:
    """Of names and contents of the C sources under `root`: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in sources(root):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()[:16]


@cache
def library() -> Library:
    """The library of this process, or why there is none."""
    mode, build = os.environ.get(SWITCH, ""), build_hash(ROOT)
    if mode == "off":
        return Library(build=build, reason=f"{SWITCH}=off", mode=mode)
    if mode not in MODES:
        return Library(build=build, reason=f"{SWITCH}={mode} is neither 'require' nor 'off'", mode="require")
    return replace(_first_usable(build), mode=mode)


def _first_usable(build: str) -> Library:
    reasons = []
    for path in _places():
        found = _opened(path, build)
        if found.handle is not None:
            return found
        reasons.append(found.reason)
    missing = f"there is no {FILE.name} in {(ROOT / FILE).parent}; {REBUILD}"
    return Library(build=build, reason=reasons[0] if reasons else missing)


def _places() -> Iterator[Path]:
    """Beside this file; where a build in the checkout has left it; beside an installation of the same
    packages."""
    places = [ROOT, *sorted(ROOT.glob("build/lib*")), *(Path(entry) for entry in sys.path)]
    return (place / FILE for place in dict.fromkeys(places) if (place / FILE).is_file())


def _opened(path: Path, build: str) -> Library:
    try:
        handle = ctypes.CDLL(str(path.absolute()))
        built = ctypes.c_char_p.in_dll(handle, "recert_build").value or b""
        instructions = handle.recert_instructions
    except (OSError, ValueError, AttributeError) as error:
        return Library(build=build, reason=f"{path} cannot be opened ({error}); {REBUILD}")
    if built.decode() != build:
        return Library(build=build, reason=f"{path} was built from other C sources; {REBUILD}")
    instructions.restype = ctypes.c_char_p
    return Library(path, handle, instructions().decode(), build)
