"""The session's public signatures, as type checkers see them. Nothing here is run: that it is checked is the test."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import assert_type

from pydantic import JsonValue

from etcdorm import (
    KEEP,
    LATEST,
    Created,
    DecodeError,
    Deleted,
    Done,
    EtcdModel,
    Expired,
    Failed,
    Feed,
    Held,
    Invalid,
    KeyChange,
    Listing,
    Migrated,
    Results,
    Session,
    Tail,
    Updated,
    Values,
    connect,
    upgrade,
)
from etcdorm.store import Store
from etcdorm.v2 import Observer


class Node(EtcdModel, path="/nodes/{name}"):
    name: str
    port: int = 0


class Doc(EtcdModel, path="/docs/{name}", layout="document", frozen=True):
    name: str


async def connecting() -> None:
    async with connect("http://127.0.0.1:2379") as session:
        assert_type(session, Session)
    async with connect(["http://127.0.0.1:2379", "http://127.0.0.1:2380"], timeout=1.5) as session:
        assert_type(session, Session)
    async with connect("embedded:", layout="document", ttl=30, namespace="/team-a", observers=[Observer()]) as session:
        assert_type(session, Session)
    connect(
        srv_domain="example.com", username="app", password="pw", ca_cert=Path("ca.pem"), cert=("app.crt", "app.key")
    )
    connect(
        ["https://10.0.0.1:2379"],
        ssl_verify=ssl.CERT_REQUIRED,
        allow_reconnect=True,
        expected_cluster_id="cdf818194e3a8c32",
    )
    connect(srv_domain="example.com", srv_nameservers=["10.0.0.1"], protocol="https", ssl_verify=False)
    connect("http://127.0.0.1:2379", protocol="ftp")  # type: ignore[arg-type]
    connect(2379)  # type: ignore[arg-type]
    connect("http://127.0.0.1:2379", layout="folder")  # type: ignore[arg-type]
    connect("http://127.0.0.1:2379", namespace=7)  # type: ignore[arg-type]
    connect("http://127.0.0.1:2379", timout=7)  # type: ignore[call-arg]
    with connect("http://127.0.0.1:2379"):  # type: ignore[attr-defined]
        pass


async def on_any_store(session: Session, store: Store) -> None:
    async with Session(store, timeout=1.5, layout="directory", ttl=30, namespace="/team-a") as entered:
        assert_type(entered, Session)
    assert_type(session.endpoints, tuple[str, ...])
    assert_type(session.namespace, str | None)
    assert_type(await session.close(), None)
    Session("http://127.0.0.1:2379")  # type: ignore[arg-type]
    session.namespace = "/team-b"  # type: ignore[misc]


async def saving(session: Session, node: Node) -> None:
    assert_type(await session.save(node), Node)
    assert_type(await session.save(node, ttl=30), Node)
    assert_type(await session.save(node, ttl=None), Node)
    assert_type(await session.save(node, ttl=KEEP), Node)
    assert_type(await session.append(node), Node)
    assert_type(await session.append(node, ttl=30), Node)
    assert_type(await session.append(node, ttl=None), Node)
    assert_type(await session.append(node, ttl=KEEP), Node)
    assert_type(await session.refresh(node, ttl=30), Node)
    assert_type(await session.reload(node), Node)
    await session.save("node")  # type: ignore[type-var]
    await session.save(node, ttl=1.5)  # type: ignore[arg-type]
    await session.append(node, ttl="30")  # type: ignore[arg-type]
    assert_type(await session.refresh(node), Node)
    assert_type(await session.save(node, on_conflict="merge"), Node)
    await session.save(node, on_conflict="ignore")  # type: ignore[arg-type]
    assert_type(await session.delete(node), None)
    await session.delete(Node, "n1")  # type: ignore[arg-type, call-arg]


async def loading(session: Session) -> None:
    assert_type(await session.load(Node, "n1"), Node)
    assert_type(await session.load(Node, name="n1"), Node)
    assert_type(await session.get(Node, "n1"), Node | None)
    assert_type(await session.list(Node), list[Node])
    assert_type(await session.list(Node, name="n1"), list[Node])
    await session.load("Node", "n1")  # type: ignore[arg-type]
    await session.load(int, "n1")  # type: ignore[type-var]


async def listing(session: Session) -> None:
    assert_type(await session.list(Node, where=lambda node: node.port > 1, limit=10, after="n1"), list[Node])
    assert_type(await session.list(Node, order_by="-port"), list[Node])
    assert_type(await session.list(Node, order_by=("port", "-name")), list[Node])
    assert_type(await session.list(Node, order_by=lambda node: (node.port, node.name)), list[Node])
    assert_type(await session.list(Node, on_invalid="skip", name="n1"), list[Node])
    listing = await session.list(Node, on_invalid="collect")
    assert_type(listing, Listing[Node])
    assert_type(listing[0], Node)
    assert_type(listing.invalid, tuple[DecodeError, ...])
    assert_type(await session.list(Node, after=listing[-1]), list[Node])
    assert_type(await session.count(Node, name="n1"), int)
    assert_type(await session.keys(Node), list[tuple[object, ...]])
    assert_type(await session.exists(Node, "n1"), bool)
    await session.list(Node, where=lambda doc: doc.host == "h")  # type: ignore[attr-defined]
    await session.list(Node, order_by=lambda node: object())  # type: ignore[arg-type, return-value]
    await session.list(Node, on_invalid="ignore")  # type: ignore[call-overload]


async def many(session: Session, nodes: Iterator[Node], node: Node, doc: Doc) -> None:
    def on_progress(done: int, total: int | None) -> None: ...

    def of_one(done: int) -> None: ...

    saved = await session.save_all(nodes, limit=8, on_progress=on_progress, ttl=None, on_conflict="merge")
    assert_type(saved, Results[Node, Node])
    assert_type(saved.models, list[Node])
    assert_type(saved.failed, list[Failed[Node]])
    assert_type(saved.raise_for_errors(), Results[Node, Node])
    assert_type(saved[0], Done[Node, Node] | Failed[Node])
    for result in saved:
        match result:
            case Done():
                assert_type(result.model, Node)
            case Failed():
                assert_type(result.item, Node)
                assert_type(result.error, Exception)
    loaded = await session.load_all(Node, ["n1", "n2"], limit=2, on_progress=on_progress)
    assert_type(loaded, Results[str, Node])
    assert_type(loaded.failed[0].item, str)
    assert_type(loaded[0:2], Results[str, Node])
    assert_type((await session.load_all(Doc, await session.keys(Doc))).models, list[Doc])
    assert_type(await session.delete_all([node], limit=2, on_progress=on_progress), Results[Node, Node])
    both: list[Node | Doc] = [node, doc]
    assert_type((await session.save_all(both)).models, list[Node | Doc])
    await session.save_all(node)  # type: ignore[type-var]
    await session.save_all(["n1"])  # type: ignore[type-var]
    await session.save_all(nodes, on_progress=of_one)  # type: ignore[arg-type]


def outcomes(results: Results[str, Node], done: Done[str, Node], failed: Failed[str], listing: Listing[Node]) -> None:
    assert_type(results.models, list[Node])
    assert_type(results.failed, list[Failed[str]])
    assert_type(results.raise_for_errors(), Results[str, Node])
    assert_type((done.item, done.model), tuple[str, Node])
    assert_type((failed.item, failed.error), tuple[str, Exception])
    assert_type(listing.invalid, tuple[DecodeError, ...])
    _ = failed.model  # type: ignore[attr-defined]
    done.model = Node(name="n1")  # type: ignore[misc]


async def migrating(session: Session, migrated: Migrated, change: KeyChange) -> None:
    assert_type(await session.migrate(Node, name="n1"), Results[str, Migrated])
    await session.migrate(Node, dry_run=True, limit=8, on_progress=lambda done, total: None)
    assert_type((migrated.path, migrated.from_version, migrated.to_version), tuple[str, int, int])
    assert_type(migrated.changes, tuple[KeyChange, ...])
    assert_type((change.key, change.old, change.new), tuple[str, str | None, str | None])
    await session.migrate(Node, dry_run="yes")  # type: ignore[arg-type]
    await session.migrate(int)  # type: ignore[type-var]


def versions() -> None:
    class Upgraded(EtcdModel, path="/upgraded/{name}", version=3):
        name: str

        @upgrade(1)
        @staticmethod
        def first(values: Values) -> None:
            assert_type(values["port"], JsonValue)
            values["port"], values["ports"], values["limits"] = 1, [1, "2"], {"cpu": None}

        @upgrade(2)  # type: ignore[type-var]
        @staticmethod
        def second(values: Values) -> Values:
            return values

    call: Callable[[Values], None] = Upgraded.first
    call({"port": "1"})


async def updating(session: Session) -> None:
    def in_place(node: Node) -> None:
        node.port += 1

    def another(doc: Doc) -> Doc:
        return doc.model_copy()

    async def waiting(node: Node) -> None:
        node.port += 1

    async def waiting_for_another(doc: Doc) -> Doc:
        return doc.model_copy()

    def of_docs(doc: Doc) -> None: ...

    assert_type(await session.update(Node, "n1", in_place), Node)
    assert_type(await session.update(Doc, ("n1",), another), Doc)
    assert_type(await session.update(Node, "n1", waiting), Node)
    assert_type(await session.update(Doc, "n1", waiting_for_another), Doc)
    await session.update(Node, "n1", of_docs)  # type: ignore[arg-type]


async def sequences(session: Session, node: Node, doc: Doc) -> None:
    assert_type(await session.records(Node), list[Node])
    assert_type(await session.records(Node, after=node, limit=10), list[Node])
    assert_type(await session.records(Doc, after="00000000000000000007", name="n1"), list[Doc])
    assert_type(await session.records(Node, on_invalid="skip"), list[Node])
    assert_type(await session.records(Node, limit=10, on_invalid="collect"), Listing[Node])
    assert_type(session.tail(Node, after=LATEST), Tail[Node])
    async with session.tail(Node, after=node) as nodes:
        async for each in nodes:
            assert_type(each, Node)
    assert_type(await session.trim(Node, keep=10), int)
    assert_type(await session.trim(Node, older_than=node, where=lambda node: node.port == 0), int)
    await session.records(Node, limit="10")  # type: ignore[call-overload]
    await session.records(Node, after=LATEST)  # type: ignore[call-overload]
    await session.records(Node, on_invalid="ignore")  # type: ignore[call-overload]
    await session.trim(Node, keep=1.5)  # type: ignore[arg-type]
    await session.trim(Node, where=lambda node: node.wrong)  # type: ignore[attr-defined]


async def locking(session: Session, node: Node) -> None:
    async with session.lock(node, ttl=10, timeout=1.5) as held:
        assert_type(held, Held)
        assert_type(held.token, int)
        assert_type(held.lost.is_set(), bool)
    async with session.lock("name") as held:
        assert_type(held, Held)
    async with session.lock(7):  # type: ignore[arg-type]
        pass
    async with session.lock((Node, "n1"), timeout=1.0, blocking=False) as held:
        assert_type(held, Held)
    async with session.lock(node, ttl="10"):  # type: ignore[arg-type]
        pass


def a_lock_that_is_held(held: Held) -> None:
    assert_type(held.token, int)
    assert_type(held.lost, asyncio.Event)
    held.token = 7  # type: ignore[misc]


async def watching(session: Session) -> None:
    assert_type(session.watch(Node), Feed[Node])
    async with session.watch(Node, name="n1") as changes:
        async for change in changes:
            assert_type(change.path, str)
            assert_type(change.gap, bool)
            match change:
                case Created():
                    assert_type(change.new, Node)
                    assert_type(change.initial, bool)
                case Updated():
                    assert_type(change.old, Node | None)
                    assert_type(change.new, Node)
                case Deleted() | Expired():
                    assert_type(change.old, Node | None)
                case Invalid():
                    assert_type(change.error, DecodeError)
