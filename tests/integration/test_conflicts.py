"""What a save does when another one came between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import pytest
from pydantic import model_validator

from etcdorm import (
    AlreadyExistsError,
    ConflictError,
    EtcdModel,
    Expired,
    Merge,
    NotFoundError,
    Session,
    UsageError,
    connect,
)
from etcdorm.embedded import EtcdServer
from etcdorm.mapping.schema import Layout
from etcdorm.session.conflicts import OnConflict
from etcdorm.v2 import Client


class Node(EtcdModel, path="/nodes/{name}"):
    name: str
    host: str = "h"
    port: int = 1
    labels: dict[str, str] = {}
    count: Annotated[int, Merge(lambda base, mine, theirs: mine + theirs - base)] = 0
    odd: Annotated[int | str, Merge("max")] = 0
    share: Annotated[int, Merge(lambda base, mine, theirs: mine // theirs)] = 1


class Range(EtcdModel, path="/ranges/{name}"):
    name: str
    low: int = 0
    high: int = 10

    @model_validator(mode="after")
    def ordered(self) -> Range:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


@pytest.fixture(params=["directory", "document"])
async def sessions(etcd: EtcdServer, request: pytest.FixtureRequest) -> AsyncIterator[tuple[Session, Session]]:
    layout: Layout = request.param
    async with connect(etcd.url, layout=layout) as one, connect(etcd.url, layout=layout) as other:
        yield one, other


async def two(sessions: tuple[Session, Session]) -> tuple[Session, Node, Node]:
    """One session, and two objects of one record; the second one is saved by the other session."""
    one, other = sessions
    mine = await one.save(Node(name="n", labels={"a": "1"}))
    return one, mine, await other.load(Node, "n")


async def test_a_conflict_carries_all_three_and_what_differs(sessions: tuple[Session, Session]) -> None:
    one, mine, theirs = await two(sessions)
    theirs.port, theirs.labels = 2, {"a": "1", "b": "2"}
    await sessions[1].save(theirs)
    mine.port, mine.host = 3, "mine"
    with pytest.raises(
        ConflictError, match=r"changed port, labels\.b after .* and so does this one with port"
    ) as raised:
        await one.save(mine)
    error = raised.value
    assert (error.fields, error.clashes) == (("port", "labels.b"), ("port",))
    assert isinstance(error.base, Node)
    assert error.base.port == 1
    assert error.mine is mine
    assert error.theirs == theirs
    assert (await one.load(Node, "n")).port == 2


async def test_merged_edits_of_different_fields_both_survive(sessions: tuple[Session, Session]) -> None:
    one, mine, theirs = await two(sessions)
    theirs.port, theirs.labels, theirs.count = 2, {"a": "1", "b": "2"}, 5
    await sessions[1].save(theirs)
    mine.host, mine.labels, mine.count = "mine", {}, 2
    await one.save(mine, on_conflict="merge")
    assert mine == Node(name="n", host="mine", port=2, labels={"b": "2"}, count=7)
    assert await sessions[1].load(Node, "n") == mine
    mine.port = 4
    await one.save(mine)  # it is the newest now


async def test_one_field_edited_twice_is_a_conflict_for_merge_too(sessions: tuple[Session, Session]) -> None:
    one, mine, theirs = await two(sessions)
    theirs.port = 2
    await sessions[1].save(theirs)
    mine.port, mine.host = 3, "mine"
    with pytest.raises(ConflictError, match="both changed port") as raised:
        await one.save(mine, on_conflict="merge")
    assert raised.value.clashes == ("port",)
    assert (mine.port, mine.host) == (3, "mine")
    assert (await one.load(Node, "n")).host == "h"


async def test_a_merge_of_the_same_edit_writes_nothing(sessions: tuple[Session, Session]) -> None:
    one, mine, theirs = await two(sessions)
    mine.port = theirs.port = 2
    saved = await sessions[1].save(theirs)
    await one.save(mine, on_conflict="merge")
    assert mine.etcd is not None
    assert saved.etcd is not None
    assert mine.etcd.version == saved.etcd.version


async def test_edits_that_do_not_go_together_are_a_conflict(sessions: tuple[Session, Session]) -> None:
    one, other = sessions
    mine = await one.save(Range(name="r"))
    theirs = await other.load(Range, "r")
    theirs.high = 5
    await other.save(theirs)
    mine.low = 8
    with pytest.raises(ConflictError, match="put together, are not valid"):
        await one.save(mine, on_conflict="merge")
    assert (await one.load(Range, "r")).low == 0


async def test_a_rule_that_fails_is_a_conflict(sessions: tuple[Session, Session]) -> None:
    one, mine, theirs = await two(sessions)
    theirs.odd = "text"
    await sessions[1].save(theirs)
    mine.odd = 3
    with pytest.raises(ConflictError, match=r"the Merge rule of [a-z.]+ failed \(TypeError\)"):
        await one.save(mine, on_conflict="merge")


async def test_whatever_a_rule_raises_is_a_conflict(sessions: tuple[Session, Session]) -> None:
    one, mine, theirs = await two(sessions)
    theirs.share = 0
    await sessions[1].save(theirs)
    mine.share = 3
    with pytest.raises(ConflictError, match=r"the Merge rule of [a-z.]+ failed \(ZeroDivisionError\)") as raised:
        await one.save(mine, on_conflict="merge")
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


async def test_a_conflict_with_what_does_not_fit_says_what_to_do_about_it(
    sessions: tuple[Session, Session], client: Client
) -> None:
    one, mine, theirs = await two(sessions)
    theirs.host = "theirs"
    await sessions[1].save(theirs)
    is_document = isinstance((await client.read("/nodes/n")).value, str)
    await client.write("/nodes/n" if is_document else "/nodes/n/port", "no number")
    mine.host = "mine"
    with pytest.raises(ConflictError, match='does not fit the class: save with on_conflict="overwrite"') as raised:
        await one.save(mine)
    assert raised.value.theirs is None
    await one.save(mine, on_conflict="overwrite")
    assert (await one.load(Node, "n")).host == "mine"


async def test_what_is_no_way_to_meet_a_conflict_is_refused_before_there_is_one(
    sessions: tuple[Session, Session],
) -> None:
    one, _ = sessions
    with pytest.raises(UsageError, match=r"on_conflict must be one of \('raise', 'merge', 'overwrite'\), not 'mrege'"):
        await one.save(Node(name="n"), on_conflict="mrege")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="on_conflict must be one of"):
        await one.save_all([Node(name="n")], on_conflict="mrege")  # type: ignore[arg-type]
    assert await one.get(Node, "n") is None


async def test_a_merge_with_a_record_that_was_deleted_is_not_found(sessions: tuple[Session, Session]) -> None:
    one, mine, theirs = await two(sessions)
    await sessions[1].delete(theirs)
    mine.port = 2
    with pytest.raises(NotFoundError):
        await one.save(mine, on_conflict="merge")


async def test_a_new_object_is_never_merged_into_a_record(sessions: tuple[Session, Session]) -> None:
    one, _, _ = await two(sessions)
    with pytest.raises(AlreadyExistsError, match="overwrite"):
        await one.save(Node(name="n", port=9), on_conflict="merge")
    assert (await one.load(Node, "n")).port == 1


async def test_overwrite_makes_the_record_what_the_object_says(sessions: tuple[Session, Session]) -> None:
    one, mine, theirs = await two(sessions)
    theirs.port, theirs.labels = 2, {"b": "2"}
    await sessions[1].save(theirs)
    mine.host = "mine"
    await one.save(mine, on_conflict="overwrite")
    assert await sessions[1].load(Node, "n") == mine == Node(name="n", host="mine", labels={"a": "1"})


async def test_overwrite_replaces_by_a_new_object_and_makes_a_deleted_one_anew(
    sessions: tuple[Session, Session],
) -> None:
    one, mine, _ = await two(sessions)
    await one.save(Node(name="n", port=9), on_conflict="overwrite")
    assert await one.load(Node, "n") == Node(name="n", port=9)
    await sessions[1].delete(await sessions[1].load(Node, "n"))
    mine.port = 5
    await one.save(mine, on_conflict="overwrite")
    assert await sessions[1].load(Node, "n") == mine
    await one.save(Node(name="new"), on_conflict="overwrite")
    assert await one.load(Node, "new") == Node(name="new")


async def test_overwrite_writes_an_object_that_was_not_edited_too(sessions: tuple[Session, Session]) -> None:
    one, mine, theirs = await two(sessions)
    theirs.port = 2
    await sessions[1].save(theirs)
    await one.save(mine, on_conflict="overwrite")
    assert await sessions[1].load(Node, "n") == mine == Node(name="n", labels={"a": "1"})
    await sessions[1].delete(await sessions[1].load(Node, "n"))
    await one.save(mine, on_conflict="overwrite")
    assert await sessions[1].load(Node, "n") == mine


@pytest.mark.parametrize("on_conflict", ["raise", "merge", "overwrite"])
async def test_keys_of_other_tools_alone_are_no_record_that_came_between(
    etcd: EtcdServer, on_conflict: OnConflict
) -> None:
    """The record was deleted with all that was in it; what is there by then is not of this model."""
    async with connect(etcd.url) as session, Client(etcd.url) as client:
        mine, other = await session.save(Node(name="n")), await session.load(Node, "n")
        await client.delete("/nodes/n", recursive=True)
        await client.write("/nodes/n/note", "theirs")
        if on_conflict == "overwrite":
            await session.save(mine, on_conflict="overwrite")
            assert await session.load(Node, "n") == mine
            assert (await client.read("/nodes/n/note")).value == "theirs"
        else:
            mine.port = 2
            with pytest.raises(NotFoundError):
                await session.save(mine, on_conflict=on_conflict)
            with pytest.raises(NotFoundError):
                await session.delete(other)


async def test_overwrite_makes_a_record_anew_whose_ttl_ran_out(etcd: EtcdServer) -> None:
    async with connect(etcd.url) as session:
        mine = await session.save(Node(name="n"), ttl=1)
        async with session.watch(Node) as changes:
            async for change in changes:
                if isinstance(change, Expired):
                    break
        mine.port = 2
        await session.save(mine, on_conflict="overwrite")
        assert (await session.load(Node, "n")).port == 2


async def test_many_who_merge_lose_no_edit(etcd: EtcdServer) -> None:
    async with connect(etcd.url) as session:
        await session.save(Node(name="n"))

        async def add(name: str) -> None:
            node = await session.load(Node, "n")
            node.labels = {**node.labels, name: name}
            node.count += 1
            await session.save(node, on_conflict="merge")

        names = [f"w{number}" for number in range(12)]
        await asyncio.gather(*(add(name) for name in names))
        found = await session.load(Node, "n")
        assert found.labels == {name: name for name in names}
        assert found.count == len(names)


# -- the ttl of a class and of a session -------------------------------------------------------------------------------


class Lease(EtcdModel, path="/leases/{name}", ttl=30):
    name: str
    size: int = 0


async def test_records_are_made_with_the_ttl_of_their_class_or_session(etcd: EtcdServer) -> None:
    async with connect(etcd.url, ttl=60) as session:
        assert 25 < ttl_of(await session.save(Lease(name="a"))) <= 30
        assert 55 < ttl_of(await session.save(Node(name="a"))) <= 60
        assert 5 < ttl_of(await session.save(Lease(name="b"), ttl=10)) <= 10
        forever = await session.save(Lease(name="c"), ttl=None)
        assert forever.etcd is not None
        assert forever.etcd.ttl is None
        forever.size = 2
        await session.save(forever)
        found = await session.load(Lease, "c")
        assert found.etcd is not None
        assert (found.size, found.etcd.ttl) == (2, None)


async def test_refresh_takes_the_ttl_of_the_class(etcd: EtcdServer) -> None:
    async with connect(etcd.url) as session:
        lease = await session.save(Lease(name="a"), ttl=5)
        assert 25 < ttl_of(await session.refresh(lease)) <= 30
        node = await session.save(Node(name="a"), ttl=5)
        with pytest.raises(UsageError, match="how long"):
            await session.refresh(node)


def ttl_of(model: EtcdModel) -> float:
    assert model.etcd is not None
    assert model.etcd.ttl is not None
    return model.etcd.ttl
