"""An etcd that is a network away: a process on the way to it holds every request for a while."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from etcdorm.testing import FaultProxy


@contextmanager
def far(url: str, seconds: float) -> Iterator[str]:
    """The URL at which the etcd can be asked so."""
    command = [sys.executable, "-m", "benchmarks.mapper.far", url, str(seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


async def _serve(url: str, seconds: float) -> None:
    async with FaultProxy(url, delay=lambda seen: seconds) as proxy:
        print(proxy.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], float(sys.argv[2])))
