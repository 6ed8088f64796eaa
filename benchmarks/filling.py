"""Many records at once, as saves would have left them, but by fewer requests: there is nobody else to be wary of."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Iterator
from urllib.parse import quote_plus

from benchmarks.contenders.floor import Floor
from etcdorm import EtcdModel
from etcdorm.mapping import schema_of
from etcdorm.v2.protocol.commit import APPLIED, COMMIT, Commit

_AT_ONCE = 16


async def fill(models: Iterable[EtcdModel], host: str, port: int) -> None:
    floor = Floor()
    await floor.open(host, port)
    waiting = (pair for model in models for pair in _keys(model))

    async def work() -> None:
        for key, text in waiting:
            await floor.write(key, quote_plus(text))

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(work())
    await floor.close()


def _keys(model: EtcdModel) -> Iterator[tuple[str, str]]:
    """All keys of a model that was saved once, with what they hold."""
    schema = schema_of(type(model))
    path = schema.path(model)
    is_document = schema.layout == "document"
    fields = schema.encode(model, document=is_document)
    if is_document:
        yield str(path), fields[""]
        return
    commit = Commit(secrets.token_urlsafe(12), (), dict(fields))
    for name, text in {COMMIT: commit.text, **fields, APPLIED: commit.id}.items():
        yield str(path / name), text
