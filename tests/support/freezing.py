"""Run as a script: takes the lock of a record, is stopped by SIGSTOP in its block, and then tries to save all the same.

``freezing.py URL``: it prints what became of each attempt.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable

from etcdorm import EtcdormError, Session, connect
from etcdorm.store import StaleRecord
from tests.support.models import Node


async def attempt(what: str, write: Awaitable[object]) -> None:
    try:
        await write
    except (EtcdormError, StaleRecord) as error:
        print(what, type(error).__name__, flush=True)
    else:
        print(what, "done", flush=True)


async def save_all_the_same(session: Session, node: Node, token: int) -> None:
    node.port = 1
    await attempt("save", session.save(node))
    anew = await session.load(Node, "n1")
    anew.port = 1
    await attempt("save of what was loaded anew", session.save(anew))
    assert anew.etcd is not None
    # What etcd says to one that was stopped after it had found that it still holds the lock.
    await attempt("late request", session.store.commit(anew.etcd.record, {"port": "1"}, token=token))


async def main(url: str) -> None:
    async with connect(url) as session:
        node = await session.load(Node, "n1")
        try:
            async with session.lock(node, ttl=1) as held:
                print("held", flush=True)
                sys.stdin.readline()  # it is stopped in here, and its event loop with it
                saving = asyncio.create_task(save_all_the_same(session, node, held.token))
                try:
                    await asyncio.wait([saving])
                finally:
                    await saving
        except EtcdormError as error:
            print("block", type(error).__name__, flush=True)
        await attempt("save after the block", session.save(node))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
