"""Run as a script: makes one save in a process that is killed at one of its writes.

``crashing.py URL VERB NAME WHICH FATE`` exits with 0 when the save had fewer writes than that.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

from etcdorm import EtcdModel, Session
from etcdorm.v2.store import V2Store
from tests.support.lossy import Fate, LossyClient


class Thing(EtcdModel, path="/things/{name}"):
    name: str
    a: str
    b: str | None = None
    labels: dict[str, str] = {}


async def main(url: str, verb: str, name: str, which: int, fate: Fate) -> None:
    async with Session(V2Store(LossyClient(url, which, fate))) as session:
        if verb == "create":
            await session.save(Thing(name=name, a="new", b="new", labels={"k": "new"}))
        elif verb == "change":
            thing = await session.load(Thing, name)
            thing.a, thing.b, thing.labels = "new", None, {"k": "new"}
            await session.save(thing)
        elif verb == "lease":
            thing = await session.load(Thing, name)
            thing.a = "new"
            await session.save(thing, ttl=60)
        else:
            await session.delete(await session.load(Thing, name))


if __name__ == "__main__":
    url, verb, name, which, fate = sys.argv[1:]
    asyncio.run(main(url, verb, name, int(which), cast(Fate, fate)))
