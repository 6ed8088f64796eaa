"""Instructions per call, counted by valgrind: steady where time is not.

A process with N calls of each kind is compared with one that makes 2 N of one kind, so that starting Python, importing
and connecting cancel out. etcd itself runs outside of valgrind and does not count.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.workload import OPERATIONS, Operation

ROOT = Path(__file__).parents[1]
_COUNTED = re.compile(rb"I\s+refs:\s+([\d,]+)")
_PATIENCE = 600  # seconds for one process

Counts = Mapping[Operation, int]
Count = Callable[[str, Counts], int]
"""All instructions of a process in which the contender of this name makes so many calls of each kind."""


def missing() -> str:
    """Why instructions can't be counted here, or ""."""
    return "" if shutil.which("valgrind") else "valgrind is not installed (on Debian: apt-get install valgrind)"


def measure(
    names: Iterable[str], count: Count, *, calls: int
) -> tuple[dict[str, dict[Operation, float]], dict[str, str]]:
    """The instructions of a call, by contender and operation, and what ended the contenders that failed."""
    measured: dict[str, dict[Operation, float]] = {}
    failed: dict[str, str] = {}
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        runs = {name: [threads.submit(count, name, counts) for counts in plan(calls)] for name in names}
        for name, futures in runs.items():
            try:
                base, *others = [future.result() for future in futures]
            except RuntimeError as error:
                failed[name] = str(error)
                continue
            measured[name] = {
                operation: (total - base) / calls for operation, total in zip(OPERATIONS, others, strict=True)
            }
    return measured, failed


def plan(calls: int) -> list[Counts]:
    """The processes of one contender: a base, and for each operation one that makes as many calls of it again."""
    base = dict.fromkeys(OPERATIONS, calls)
    return [base, *({**base, operation: 2 * calls} for operation in OPERATIONS)]


def counter(host: str, port: int) -> Count:
    """Counting with this etcd.

    Raises (when called): RuntimeError with what the process said when it failed.
    """

    def count(name: str, counts: Counts) -> int:
        arguments = (name, host, str(port), *(str(counts[operation]) for operation in OPERATIONS))
        try:
            process = subprocess.run(
                [
                    *("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"),
                    *(sys.executable, "-m", "benchmarks.calls", *arguments),
                ],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_PATIENCE,
                cwd=ROOT,
                env={**os.environ, "PYTHONHASHSEED": "0"},  # dicts and sets are laid out alike in every run
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"its process took more than {_PATIENCE} s") from None
        counted = _COUNTED.search(process.stderr)
        if process.returncode or counted is None:
            said = process.stderr.decode(errors="replace").splitlines()
            own = [line for line in said if not line.startswith(("==", "--"))] or ["it said nothing"]
            raise RuntimeError(f"its process ended with status {process.returncode}: {own[-1]}")
        return int(counted[1].replace(b",", b""))

    return count
