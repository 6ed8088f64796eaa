"""The memory of a table, beside that of the same models without it; each is measured in a process of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.coordination.holding import WAYS, Measure, Way
from benchmarks.coordination.models import Layout

GOAL = 60
"""MiB above the models themselves that a table of 10,000 records may take at most."""

_ROOT = Path(__file__).parents[2]


async def held(url: str, layout: Layout, records: int, measure: Measure) -> Mapping[Way, int]:
    """The bytes of so many models by the way in which they are held; their records are there."""
    taken = await asyncio.gather(*(_measured(url, records, layout, way, measure) for way in WAYS))
    return dict(zip(WAYS, taken, strict=True))


async def _measured(url: str, records: int, layout: Layout, way: Way, measure: Measure) -> int:
    command = ("-m", "benchmarks.coordination.holding", url, str(records), layout, way, measure)
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=subprocess.PIPE, cwd=_ROOT)
    try:
        output, _ = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    there, taken = (int(number) for number in output.split())
    if there != records:
        raise RuntimeError(f"{layout}, {way}: {there} models instead of {records}")
    return taken
