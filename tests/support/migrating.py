"""Run as a script: migrates all nodes in a process that is killed at one of its writes.

``migrating.py URL WHICH`` exits with 0 when it had fewer writes than that.
"""

from __future__ import annotations

import asyncio
import sys

from etcdorm import Session
from etcdorm.v2.store import V2Store
from tests.support.generations import New
from tests.support.lossy import LossyClient


async def main(url: str, which: int) -> None:
    async with Session(V2Store(LossyClient(url, which, "killed after"))) as session:
        (await session.migrate(New, limit=2)).raise_for_errors()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
