"""Instructions per call, counted by valgrind: steady where time is not.

A process with N calls of each kind is compared with one that makes 2 N of one kind, so that starting Python, importing
and connecting cancel out. etcd itself runs outside of valgrind and does not count.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.workload import OPERATIONS, Operation

ROOT = Path(__file__).parents[1]
_COUNTED = re.compile(rb"I\s+refs:\s+([\d,]+)")


def missing() -> str:
    """Why instructions can't be counted here, or ""."""
    return "" if shutil.which("valgrind") else "valgrind is not installed (on Debian: apt-get install valgrind)"


async def measure(
    names: Iterable[str], host: str, port: int, *, calls: int
) -> tuple[dict[str, dict[Operation, float]], dict[str, str]]:
    """The instructions of a call, by contender and operation, and what ended the contenders that failed."""
    measured: dict[str, dict[Operation, float]] = {}
    failed: dict[str, str] = {}
    for name in names:
        base = dict.fromkeys(OPERATIONS, calls)
        runs = [base, *({**base, operation: 2 * calls} for operation in OPERATIONS)]
        turns = asyncio.Semaphore(os.cpu_count() or 1)
        try:
            first, *others = await asyncio.gather(*(_count(turns, name, host, port, run.values()) for run in runs))
        except RuntimeError as error:
            failed[name] = str(error)
            continue
        measured[name] = {
            operation: (total - first) / calls for operation, total in zip(OPERATIONS, others, strict=True)
        }
    return measured, failed


async def _count(turns: asyncio.Semaphore, name: str, host: str, port: int, counts: Iterable[int]) -> int:
    """All instructions of one process.

    Raises: RuntimeError with what it said when it failed.
    """
    async with turns:
        process = await asyncio.create_subprocess_exec(
            "valgrind",
            *("--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"),
            *(sys.executable, "-m", "benchmarks.calls", name, host, str(port), *map(str, counts)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": "0"},  # dicts and sets are laid out alike in every run
        )
        _, said = await process.communicate()
    counted = _COUNTED.search(said)
    if process.returncode or counted is None:
        lines = said.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise RuntimeError(f"its process ended with status {process.returncode}: {lines[-1]}")
    return int(counted[1].replace(b",", b""))
