"""Processes that a test has killed: forked from one that has all imported, as that takes most of a second.

``python -m tests.support.forked`` reads pickled calls, makes each in a process that it forks, and answers how that has
ended.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import IO, TypeVarTuple

Arguments = TypeVarTuple("Arguments")

FAILED = 255
ROOT = Path(__file__).parents[2]
AT_ONCE = 2


async def exit_code_of(function: Callable[[*Arguments], int | None], *arguments: *Arguments) -> int:
    """How a process that does nothing but call the function has ended: what it returned, or minus the signal that
    killed it.

    The function is one of a module; several processes may be under way at the same time.
    """
    return await asyncio.to_thread(_exit_code_of, pickle.dumps((function, arguments)))


def _exit_code_of(call: bytes) -> int:
    parents = _parents()
    parent = parents.get()
    try:
        parent.stdin.write(len(call).to_bytes(4) + call)
        parent.stdin.flush()
        code = int(parent.stdout.readline())
    finally:
        parents.put(parent)
    assert code != FAILED, "the function raised an error, which is on stderr"
    return code


class _Parent:
    """A process that others are forked from; it ends with this one."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forked"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.stdin: IO[bytes] = self._process.stdin
        self.stdout: IO[bytes] = self._process.stdout
        atexit.register(self._process.communicate)


@cache
def _parents() -> SimpleQueue[_Parent]:
    parents: SimpleQueue[_Parent] = SimpleQueue()
    for _ in range(AT_ONCE):
        parents.put(_Parent())
    return parents


def main() -> None:
    while size := sys.stdin.buffer.read(4):
        function, arguments = pickle.loads(sys.stdin.buffer.read(int.from_bytes(size)))
        child = os.fork()
        if child == 0:
            _call(function, arguments)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _call(function: Callable[[*Arguments], int | None], arguments: tuple[*Arguments]) -> None:
    """In the child, which never returns."""
    code = FAILED
    try:
        code = function(*arguments) or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
