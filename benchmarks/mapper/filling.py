"""Many records at once, as saves would have left them, but by fewer requests: there is nobody else to be wary of."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from urllib.parse import quote_plus

from benchmarks.contenders.floor import Floor
from benchmarks.mapper.models import Server, values
from etcdorm.mapping import schema_of
from etcdorm.v2.protocol.commit import APPLIED, COMMIT, Commit

_AT_ONCE = 16


async def fill(kind: type[Server], number: int, host: str, port: int) -> None:
    """Write so many records of a class."""
    floor = Floor()
    await floor.open(host, port)
    waiting = (pair for each in range(number) for pair in keys(kind.model_validate(values(each))))

    async def work() -> None:
        for key, text in waiting:
            await floor.write(key, quote_plus(text))

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(work())
    await floor.close()


def keys(model: Server) -> Iterator[tuple[str, str]]:
    """All keys of a model that was saved once."""
    schema = schema_of(type(model))
    path = schema.path(model)
    fields = schema.encode(model, document=False)
    commit = Commit(secrets.token_urlsafe(12), (), dict(fields))
    for name, text in {COMMIT: commit.to_text(), **fields, APPLIED: commit.id}.items():
        yield str(path / name), text
