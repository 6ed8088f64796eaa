"""Processes that are killed, without starting Python each time: a zygote has all imported, and forks one for each.

``python -m tests.support.zygote`` reads one JSON list a line, the arguments of ``crashing.live``, and answers each with
the exit code of the process that lived it.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from queue import SimpleQueue

from tests.support import crashing

ROOT = Path(__file__).parents[2]


class Zygotes:
    """Several of them, so that as many lives can be lived at the same time; ``with Zygotes(2) as zygotes``."""

    def __init__(self, number: int) -> None:
        self._all = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.support.zygote"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            for _ in range(number)
        ]
        self._free: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        for process in self._all:
            self._free.put(process)

    def close(self) -> None:
        for process in self._all:
            process.communicate()
            assert process.returncode == 0

    async def live(self, url: str, case: str, name: str, which: int = -1, fate: crashing.Fate = "before") -> int:
        """The exit code of a process that does what the case says, to the end or until it is killed."""
        return await asyncio.to_thread(self._live, [url, case, name, which, fate])

    def _live(self, arguments: list[str | int]) -> int:
        process = self._free.get()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(arguments).encode() + b"\n")
            process.stdin.flush()
            return int(process.stdout.readline())
        finally:
            self._free.put(process)


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _live(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _live(arguments: list[str | int]) -> None:
    """In the child, which never returns."""
    code = crashing.FAILED
    try:
        code = asyncio.run(crashing.live(*arguments))  # type: ignore[arg-type]  # as they came through JSON
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
