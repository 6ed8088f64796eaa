"""Run as a script: tasks that contend for one lock, and work on one file while they have it, until they are to stop.

``contending.py URLS FILE TASKS TTL``: the URLs with commas between them. It ends when its input does, and prints how
often each kind of error came.

The file checks the fencing tokens as anything that is to be protected by a lock should: it takes no work of a holder
when another one with a greater token has worked on it before.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import sys
from collections import Counter
from pathlib import Path

from etcdorm import LockLostError, LockTimeoutError, Session, UnavailableError, UnconfirmedError
from etcdorm.v2 import Client
from etcdorm.v2.store import V2Store


class Protected:
    """A file with the token that it was last worked on with, how often the holder changed, and how much it refused."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, int]:
        return self._work(None)

    def work(self, token: int) -> bool:
        """Do something to it; False when it refuses."""
        return self._work(token)["token"] == token

    def _work(self, token: int | None) -> dict[str, int]:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            state: dict[str, int] = json.loads(os.read(descriptor, 1000) or '{"token":0,"holders":0,"refused":0}')
            if token is not None:
                if token < state["token"]:
                    state["refused"] += 1
                elif token > state["token"]:
                    state["token"] = token
                    state["holders"] += 1
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, json.dumps(state).encode(), 0)
            return state
        finally:
            os.close(descriptor)


async def contend(session: Session, protected: Protected, ttl: int, errors: Counter[str]) -> None:
    while True:
        try:
            async with session.lock("job", ttl=ttl) as held:
                try:
                    for _ in range(3):
                        protected.work(held.token)
                        await asyncio.sleep(0.002)
                finally:
                    protected.work(held.token)  # also when it is cancelled, for which there must be time
        except (LockLostError, LockTimeoutError, UnavailableError, UnconfirmedError) as error:
            errors[type(error).__name__] += 1


async def main(urls: list[str], path: Path, tasks: int, ttl: int) -> None:
    errors: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    async with Session(V2Store(Client(urls))) as session:
        protected = Protected(path)
        working = [asyncio.create_task(contend(session, protected, ttl, errors)) for _ in range(tasks)]
        await loop.run_in_executor(None, sys.stdin.read)
        for task in working:
            task.cancel()
        await asyncio.wait(working)
        for task in working:
            if not task.cancelled():
                task.result()
    print(json.dumps(errors))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1].split(","), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
