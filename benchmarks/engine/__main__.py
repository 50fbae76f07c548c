"""How fast the bound engine is: ratios from one run, as markdown.

`python -m benchmarks.engine [SECTION ...]`

Processor time of one thread, the least of several runs; wall time where threads are compared. Sections are
independent of each other; by default all of them run.
"""

from __future__ import annotations

import argparse

from benchmarks.engine import crown, limit, lirpa, scaling
from benchmarks.measure import begin

SECTIONS = {
    "crown": crown.section,
    "lirpa": lirpa.section,
    "limit": limit.section,
    "lengths": scaling.lengths,
    "sizes": scaling.sizes,
    "batches": scaling.batches,
    "threads": scaling.threads,
    "memory": scaling.memory,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sections", nargs="*", help=f"some of: {', '.join(SECTIONS)} (all by default)")
    names = parser.parse_args().sections or list(SECTIONS)
    for name in names:
        if name not in SECTIONS:
            parser.error(f"there is no section '{name}'; choose from {', '.join(SECTIONS)}")
    begin("Performance of the bound engine")
    for name in names:
        print(SECTIONS[name](), flush=True)


if __name__ == "__main__":
    main()
