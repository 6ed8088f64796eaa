"""For a process of its own: appends one record, and is killed at one of its writes."""

from __future__ import annotations

import asyncio

from etcdorm import EtcdModel, Session
from etcdorm.v2.store import V2Store
from tests.support.lossy import Fate, LossyClient


class Line(EtcdModel, path="/log/{id}"):
    id: str = ""
    text: str


def crash(url: str, which: int, fate: Fate) -> None:
    """Return when the append had no write of this number."""
    asyncio.run(_append(url, which, fate))


async def _append(url: str, which: int, fate: Fate) -> None:
    async with Session(V2Store(LossyClient(url, which, fate))) as session:
        await session.append(Line(text="of one who dies"))
