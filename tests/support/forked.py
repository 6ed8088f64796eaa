"""Processes that a test has killed: forked from one that has etcdorm imported, as that takes most of a second."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable
from typing import TypeVarTuple

Arguments = TypeVarTuple("Arguments")

_CONTEXT = multiprocessing.get_context("forkserver")


async def exit_code_of(function: Callable[[*Arguments], None], *arguments: *Arguments) -> int:
    """How a process that does nothing but call the function has ended: 0, or minus the signal that killed it."""
    _CONTEXT.set_forkserver_preload(["etcdorm.v2.store"])
    process = _CONTEXT.Process(target=function, args=arguments)
    await asyncio.to_thread(process.start)
    await asyncio.to_thread(process.join)
    code = process.exitcode
    process.close()
    assert code is not None
    return code
