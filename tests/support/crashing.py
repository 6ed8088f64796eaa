"""For a process of its own: makes one save, and is killed at one of its writes."""

from __future__ import annotations

import asyncio

from etcdorm import EtcdModel, Session
from etcdorm.v2.store import V2Store
from tests.support.lossy import Fate, LossyClient


class Thing(EtcdModel, path="/things/{name}"):
    name: str
    a: str
    b: str | None = None
    labels: dict[str, str] = {}


def crash(url: str, verb: str, name: str, which: int, fate: Fate) -> None:
    """Return when the save had no write of this number."""
    asyncio.run(_save(url, verb, name, which, fate))


async def _save(url: str, verb: str, name: str, which: int, fate: Fate) -> None:
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
