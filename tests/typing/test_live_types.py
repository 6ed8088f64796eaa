"""Feeds, live values and tables, as type checkers see them. Nothing here is run: that it is checked is the test."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, KeysView, Mapping, ValuesView
from pathlib import Path
from typing import assert_type

from etcdorm import EtcdModel, Feed, FellBehindError, Live, Session, Table, Updated


class Node(EtcdModel, path="/nodes/{name}"):
    name: str
    port: int = 0


class Doc(EtcdModel, path="/docs/{name}", layout="document", frozen=True):
    name: str


def changed(old: Node | None, new: Node | None) -> None: ...


async def slowly(old: Node | None, new: Node | None) -> None: ...


def of_docs(old: Doc | None, new: Doc | None) -> None: ...


def keys_changed(keys: frozenset[object]) -> None: ...


async def feeds(session: Session, feed: Feed[Node]) -> None:
    assert_type(session.watch(Node, buffer=10, on_behind="raise", name="n1"), Feed[Node])
    assert_type(feed.fell_behind, int)
    session.watch(Node, buffer="10")  # type: ignore[arg-type]
    session.watch(Node, on_behind="ignore")  # type: ignore[arg-type]
    try:
        await anext(feed)
    except FellBehindError as error:
        assert_type(str(error), str)


def an_update(change: Updated[Node]) -> None:
    assert_type(change.fields, tuple[str, ...])


async def live_values(session: Session, doc: Doc) -> None:
    assert_type(session.live(Node, "n1"), Live[Node])
    assert_type(session.live(Doc, name="d1", default=doc, last_good="d1.json", patience=0.5), Live[Doc])
    async with session.live(Node, "n1", last_good=Path("n1.json")) as live:
        assert_type(live, Live[Node])


async def a_live_value(live: Live[Node], node: Node, doc: Doc) -> None:
    assert_type(live.value, Node)
    assert_type(live.get(), Node | None)
    assert_type(live.error, Exception | None)
    assert_type(live.ready, bool)
    assert_type(live.stale, bool)
    assert_type(live.version, int)
    assert_type(live.on_change(changed), Callable[[], None])
    assert_type(live.on_change(slowly, fields=("port",), debounce=0.2), Callable[[], None])
    assert_type(live.on_change(changed, fields="port"), Callable[[], None])
    assert_type(await live.reach(node, timeout=1.5), None)
    assert_type(await live.wait_ready(timeout=1), None)
    assert_type(await live.until(lambda: live.ready), None)
    await live.reach(7)
    async for value in live:
        assert_type(value, Node)
    live.on_change(of_docs)  # type: ignore[arg-type]
    await live.reach(doc)  # type: ignore[arg-type]
    live.value = node  # type: ignore[misc]


async def tables(session: Session) -> None:
    assert_type(session.table(Node), Table[Node])
    async with session.table(Node, last_good="nodes.json", patience=0.5, name="n1") as nodes:
        assert_type(nodes, Table[Node])


async def a_table(nodes: Table[Node], node: Node) -> None:
    assert_type(nodes["n1"], Node)
    assert_type(nodes.get("n1"), Node | None)
    assert_type(nodes.invalid, Mapping[str, Exception])
    assert_type(dict(nodes), dict[object, Node])
    assert_type(nodes.keys(), KeysView[object])
    assert_type(nodes.values(), ValuesView[Node])
    assert_type(nodes.items(), ItemsView[object, Node])
    assert_type(nodes.ready, bool)
    assert_type(nodes.stale, bool)
    assert_type(nodes.version, int)
    assert_type(nodes.on_change(keys_changed, debounce=1), Callable[[], None])
    assert_type(await nodes.reach(node, timeout=1.5), None)
    assert_type(await nodes.wait_ready(), None)
    assert_type(await nodes.until(lambda: "n1" in nodes, timeout=1), None)
    nodes.on_change(changed)  # type: ignore[arg-type]
    nodes["n1"] = node  # type: ignore[index]
