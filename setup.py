"""Builds the shared library of all C sources; everything else about the package stands in pyproject.toml.

It is called by ctypes and knows nothing of Python's version: one file, one wheel for each platform. Where
there is no C compiler, or it fails, the package is installed without it and says so when it runs."""

from __future__ import annotations

import runpy
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
LIBRARY = runpy.run_path(str(ROOT / "relaxations" / "kernels" / "library.py"))


class BuildLibrary(build_ext):
    """Compiles what is declared as an extension into a library without an entry point for Python."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.force = True  # the hash that is compiled in counts, not the times of files

    def get_ext_filename(self, fullname: str) -> str:
        return str(Path(*fullname.split(".")).with_suffix(LIBRARY["FILE"].suffix))

    def get_export_symbols(self, ext: Extension) -> list[str]:
        del ext
        return []


class PlatformWheel(bdist_wheel):
    """A wheel for any Python 3 on this platform."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


if __name__ == "__main__":
    setup(
        ext_modules=[
            Extension(
                "relaxations.kernels.kernels",
                [str(path.relative_to(ROOT)) for path in LIBRARY["sources"](ROOT, (".c",))],
                include_dirs=["relaxations/kernels"],
                define_macros=[("RECERT_BUILD", f'"{LIBRARY["build_hash"](ROOT)}"')],
                extra_compile_args=["-O3"],
                optional=True,
            )
        ],
        cmdclass={"build_ext": BuildLibrary, "bdist_wheel": PlatformWheel},
    )
