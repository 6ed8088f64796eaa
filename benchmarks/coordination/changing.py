"""The process that changes what is watched.

For each line ``what first count`` on its input it makes so many changes, one after the other with a rest between, and
prints at which moments of the clock that all processes share it called for them. The field ``owner`` tells them apart.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp

from benchmarks.coordination.models import KINDS, Layout, server
from etcdorm import Session, connect

BARE = "/bench/bare"
"""Below it lie the keys that are written without a session."""

_REST = 0.005
"""Seconds after a change, so that nobody is busy with it any more when the next one begins."""

_FIRST = "turn-0"

Change = Callable[[str], Awaitable[object]]
"""Gives the field ``owner`` another value."""


async def saves(session: Session, layout: Layout) -> Change:
    model = server(layout, 0)
    model.owner = _FIRST
    await session.save(model, on_conflict="overwrite")

    async def change(owner: str) -> None:
        model.owner = owner
        await session.save(model)

    return change


async def writes(http: aiohttp.ClientSession, url: str, layout: Layout) -> Change:
    """Compare-and-swap of a key that holds what the session's would: all of the document, or the field alone."""
    key = f"{url}/v2/keys{BARE}/{layout}"
    index = 0

    async def put(owner: str, condition: dict[str, str]) -> None:
        nonlocal index
        text = owner
        if layout == "document":
            text = server(layout, 0).model_copy(update={"owner": owner}).model_dump_json(exclude={"name"})
        async with http.put(key, data={"value": text, **condition}) as answer:
            index = (await answer.json())["node"]["modifiedIndex"]

    await put(_FIRST, {})
    return lambda owner: put(owner, {"prevIndex": str(index)})


async def main(url: str) -> None:
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(connect(url))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        changes: dict[str, Change] = {}
        for layout in KINDS:
            changes[f"save-{layout}"] = await saves(session, layout)
            changes[f"write-{layout}"] = await writes(http, url, layout)
        print(flush=True)  # all that is to be changed is there
        while line := await asyncio.to_thread(sys.stdin.readline):
            what, first, count = line.split()
            called = []
            for turn in range(int(first), int(first) + int(count)):
                await asyncio.sleep(_REST)
                called.append(time.monotonic())
                await changes[what](f"turn-{turn}")
            print(json.dumps(called), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
