"""The memory that a listed model holds on to, beside that of a bare one."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Awaitable, Callable, Sized
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes for each model: validated from a flat dict, and listed by a session, ready to be saved."""

    bare: float
    listed: float


async def held(call: Callable[[], Awaitable[Sized]]) -> float:
    """The bytes that stay allocated for each item of what a call brings."""
    await call()  # what is only made at first is there then
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        brought = await call()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (after - before) / len(brought)
