"""Run as a script: takes a lock, says so, and holds it until it is killed.

``holding.py URL NAME TTL``
"""

from __future__ import annotations

import asyncio
import sys

from etcdorm import connect


async def main(url: str, name: str, ttl: int) -> None:
    async with connect(url) as session, session.lock(name, ttl=ttl):
        print("held", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
