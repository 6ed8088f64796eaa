"""More of the same: ``python -m tests.exploration --runs 1000000 --first 0``; one line for each run that breaks.

``--appends`` explores appends instead of saves.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from functools import partial

from tests.exploration import appending
from tests.exploration.explorer import Broken
from tests.exploration.scenarios import random_run


def explore(seeds: range, *, appends: bool) -> list[str]:
    broken = []
    for seed in seeds:
        try:
            appending.random_run(seed).go() if appends else random_run(seed).go()
        except Broken as error:
            broken.append(f"run {seed}: {error}")
    return broken


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.exploration", description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed; each run has the next")
    parser.add_argument("--appends", action="store_true")
    arguments = parser.parse_args()
    began = time.monotonic()
    end = arguments.first + arguments.runs
    chunks = [range(start, min(start + 1000, end)) for start in range(arguments.first, end, 1000)]
    broken = 0
    with multiprocessing.Pool() as pool:
        for lines in pool.imap_unordered(partial(explore, appends=arguments.appends), chunks):
            broken += len(lines)
            for line in lines:
                print(line, flush=True)
    print(f"{arguments.runs} runs in {time.monotonic() - began:.0f} s, {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
