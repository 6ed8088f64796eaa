"""More of the same: ``python -m tests.exploration saves --runs 1000000 --first 0``; a line for each run that breaks."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable
from functools import partial

from tests.exploration import appending
from tests.exploration.explorer import Run
from tests.exploration.scenarios import random_document_run, random_lease_run, random_run
from tests.exploration.truth import Broken

RUNS: dict[str, Callable[[int], Run | appending.Run]] = {
    "saves": random_run,
    "leases": random_lease_run,
    "documents": random_document_run,
    "appends": appending.random_run,
}


def explore(seeds: range, *, what: str) -> list[str]:
    broken = []
    for seed in seeds:
        try:
            RUNS[what](seed).go()
        except Broken as error:
            broken.append(f"run {seed}: {error}")
    return broken


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.exploration", description=__doc__)
    parser.add_argument("what", choices=RUNS)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed; each run has the next")
    arguments = parser.parse_args()
    began = time.monotonic()
    end = arguments.first + arguments.runs
    chunks = [range(start, min(start + 1000, end)) for start in range(arguments.first, end, 1000)]
    broken = 0
    with multiprocessing.Pool() as pool:
        for lines in pool.imap_unordered(partial(explore, what=arguments.what), chunks):
            broken += len(lines)
            for line in lines:
                print(line, flush=True)
    print(f"{arguments.runs} runs of {arguments.what} in {time.monotonic() - began:.0f} s, {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
