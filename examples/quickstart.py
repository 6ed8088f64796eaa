"""The everyday calls: save, load, get, list, update, append, reload, refresh, delete.

usage: python examples/quickstart.py [ENDPOINT]      without one, an etcd is started that ends with the program
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime

from etcdorm import AlreadyExistsError, ConflictError, EtcdModel, NotFoundError, Session, connect


class Node(EtcdModel, path="/quickstart/{dc}/nodes/{name}"):
    dc: str  # key fields: they make the path, and are stored nowhere else
    name: str
    host: str
    port: int = 8080
    labels: dict[str, str] = {}


class Event(EtcdModel, path="/quickstart/events/{id}"):
    id: str | None = None  # made by etcd when the event is appended
    kind: str
    at: datetime


async def save_and_load(session: Session) -> None:
    node = await session.save(Node(dc="eu", name="n1", host="10.0.0.1"))
    print("saved at", node.etcd.path if node.etcd else None)

    node.port = 9090
    node.labels["zone"] = "a"
    await session.save(node)  # the two changed keys, both or none
    print("loaded:", await session.load(Node, "eu", "n1"))  # or load(Node, dc="eu", name="n1")

    print("get gives", await session.get(Node, "eu", "n2"), "where there is nothing, and load raises:")
    try:
        await session.load(Node, "eu", "n2")
    except NotFoundError as error:
        print("  NotFoundError:", error)
    try:
        await session.save(Node(dc="eu", name="n1", host="10.0.0.7"))
    except AlreadyExistsError as error:
        print("  AlreadyExistsError:", error)


async def list_them(session: Session) -> None:
    await session.save(Node(dc="eu", name="n2", host="10.0.0.2"))
    await session.save(Node(dc="us", name="n1", host="10.1.0.1"))
    print("all:", [(node.dc, node.name) for node in await session.list(Node)])
    print("in us:", [node.name for node in await session.list(Node, dc="us")])


async def two_writers(session: Session) -> None:
    mine = await session.load(Node, "eu", "n1")
    theirs = await session.load(Node, "eu", "n1")
    theirs.host = "10.0.0.8"
    await session.save(theirs)
    mine.port = 7070
    try:
        await session.save(mine)
    except ConflictError as error:
        print("ConflictError, and nothing was written; in etcd there is", error.theirs)
    await session.reload(mine)  # what is there now; the unsaved port is gone
    print("reloaded:", mine.host, mine.port)

    def change(node: Node) -> None:  # may be called more than once
        node.port = 7070

    print("updated:", await session.update(Node, ("eu", "n1"), change))


async def append_and_expire(session: Session) -> None:
    for kind in ("boot", "ready"):
        await session.append(Event(kind=kind, at=datetime.now(UTC)))
    print("events in their order:", [event.kind for event in await session.list(Event)])

    node = await session.save(Node(dc="eu", name="n3", host="10.0.0.3"), ttl=30)
    await session.refresh(node, ttl=60)  # the whole record lives on, by one request
    assert node.etcd is not None
    assert node.etcd.ttl is not None
    print("n3 expires in", round(node.etcd.ttl), "s")


async def delete_all(session: Session) -> None:
    for model in [*await session.list(Node), *await session.list(Event)]:
        await session.delete(model)


async def main(endpoint: str) -> None:
    async with connect(endpoint) as session:
        await delete_all(session)  # what a run that was stopped may have left
        await save_and_load(session)
        await list_them(session)
        await two_writers(session)
        await append_and_expire(session)
        await delete_all(session)
        print("left:", len(await session.list(Node)) + len(await session.list(Event)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "embedded:"))
