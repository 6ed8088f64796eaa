"""Run as a script: appends one record in a process that is killed at one of its writes.

``appending.py URL WHICH FATE`` exits with 0 when the append had fewer writes than that.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

from etcdorm import EtcdModel, Session
from etcdorm.v2.store import V2Store
from tests.support.lossy import Fate, LossyClient


class Line(EtcdModel, path="/log/{id}"):
    id: str = ""
    text: str


async def main(url: str, which: int, fate: Fate) -> None:
    async with Session(V2Store(LossyClient(url, which, fate))) as session:
        await session.append(Line(text="of one who dies"))


if __name__ == "__main__":
    url, which, fate = sys.argv[1:]
    asyncio.run(main(url, int(which), cast(Fate, fate)))
