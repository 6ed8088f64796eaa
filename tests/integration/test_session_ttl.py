"""Models that expire: registered with a TTL, kept alive by refreshes, gone at one instant."""

from __future__ import annotations

import asyncio

import pytest

from etcdorm import (
    ConflictError,
    EtcdModel,
    Expired,
    LeaseLapsedError,
    NotFoundError,
    Session,
    Updated,
    UsageError,
    connect,
)
from etcdorm.testing import EtcdServer
from etcdorm.testing.faults import FaultProxy
from etcdorm.v2 import Client, EtcdResult
from etcdorm.v2.request import Request
from etcdorm.v2.store import V2Store
from tests.support.models import Dc, Doc, Node, Rack, Service
from tests.support.raw import expire, indexes, leaves, soon, until_gone

Kind = type[Service]


class Leased(EtcdModel, path="/leased/{name}", ttl=30):
    name: str


def lease(kind: Kind) -> str:
    """The key that carries the TTL of the model ``n1``."""
    return kind.key("n1") if kind is Doc else f"{kind.key('n1')}/@lease"


async def lapsed(session: Session, client: Client, kind: Kind) -> Service:
    """A model whose TTL has run out a moment ago, and that nobody has read since.

    To a reader an expired key is one that is not there. So it is deleted here, which takes no half a second.
    """
    model = await session.save(kind(name="n1"), ttl=60)
    await client.delete(lease(kind))
    return model


async def ttl_of(session: Session, kind: Kind) -> float | None:
    place = (await session.load(kind, "n1")).etcd
    assert place is not None
    return place.ttl


async def test_a_model_is_saved_with_a_ttl(session: Session, other: Session, kind: Kind) -> None:
    await session.save(kind(name="n1"), ttl=60)
    ttl = await ttl_of(other, kind)
    assert ttl is not None
    assert 55 < ttl <= 60


async def test_a_ttl_is_given_to_a_record_that_had_none(session: Session, other: Session, kind: Kind) -> None:
    model = await session.save(kind(name="n1"))
    await session.save(model, ttl=60)
    assert await ttl_of(other, kind) is not None


async def test_a_model_is_gone_when_its_ttl_has_run_out(session: Session, client: Client) -> None:
    await asyncio.gather(session.save(Node(name="n1"), ttl=1), session.save(Doc(name="n1"), ttl=1))
    await asyncio.gather(until_gone(client, lease(Doc)), until_gone(client, lease(Node)))
    assert (await session.get(Node, "n1"), await session.get(Doc, "n1")) == (None, None)


async def test_a_lapsed_model_is_not_found(session: Session, client: Client, kind: Kind) -> None:
    await lapsed(session, client, kind)
    with pytest.raises(NotFoundError):
        await session.load(kind, "n1")


async def test_a_lapsed_model_is_not_listed(session: Session, client: Client, kind: Kind) -> None:
    await session.save(kind(name="alive"))
    await lapsed(session, client, kind)
    assert [each.name for each in await session.list(kind)] == ["alive"]


async def test_a_lapsed_model_is_not_among_the_first_of_a_watch(session: Session, client: Client, kind: Kind) -> None:
    await session.save(kind(name="z-alive"))
    await lapsed(session, client, kind)
    async with session.watch(kind) as changes:
        assert (await soon(changes)).path == kind.key("z-alive")


async def test_a_watch_tells_of_an_expiry_once(session: Session, client: Client, kind: Kind) -> None:
    model = await session.save(kind(name="n1"), ttl=60)
    async with session.watch(kind) as changes:
        await expire(client, lease(kind))
        await session.get(kind, "n1")  # which has its remains cleared away
        await session.save(kind(name="z"))
        told = [await soon(changes) for _ in range(3)]
        assert [told[1], told[2].path] == [Expired(kind.key("n1"), model), kind.key("z")]


async def test_the_next_reader_clears_the_remains_away(session: Session, other: Session, client: Client) -> None:
    await lapsed(session, client, Node)
    await other.list(Node)
    await until_gone(client, "/nodes/n1")


async def test_records_within_a_lapsed_one_stay(session: Session, client: Client) -> None:
    await session.save(Rack(dc="eu", rack=1))
    await session.save(Dc(dc="eu"), ttl=60)
    await client.delete("/dc/eu/@lease")
    await session.list(Dc)
    await until_gone(client, "/dc/eu/@commit")
    assert await session.list(Rack) == [Rack(dc="eu", rack=1)]


async def test_a_save_of_a_lapsed_model_says_so(session: Session, client: Client, kind: Kind) -> None:
    model = await lapsed(session, client, kind)
    model.port = 1
    with pytest.raises(LeaseLapsedError):
        await session.save(model)


async def test_a_delete_of_a_lapsed_model_says_so(session: Session, client: Client, kind: Kind) -> None:
    model = await lapsed(session, client, kind)
    with pytest.raises(LeaseLapsedError):
        await session.delete(model)
    assert model.etcd is None


async def test_so_does_a_delete_of_many(session: Session, client: Client, kind: Kind) -> None:
    (failed,) = (await session.delete_all([await lapsed(session, client, kind)])).failed
    assert isinstance(failed.error, LeaseLapsedError)


class Staying(Leased, path="/staying/{name}", ttl=None):
    """Its records stay, whatever is said above it."""


async def test_a_class_may_say_that_its_records_stay(etcd: EtcdServer) -> None:
    async with connect(etcd.url, ttl=60) as session:
        for model, expires in ((Leased(name="n1"), True), (Staying(name="n1"), False), (Node(name="n1"), True)):
            place = (await session.save(model)).etcd
            assert place is not None
            assert (place.ttl is not None) is expires
        with pytest.raises(UsageError, match="how long shall this Staying live on"):
            await session.refresh(await session.load(Staying, "n1"))


async def test_a_save_of_a_lapsed_model_says_so_when_it_is_made_anew_meanwhile(
    etcd: EtcdServer, other: Session
) -> None:
    """Its commit lands on the remains; before it can look what came of that, somebody has made a record over them."""

    class Slow(Client):
        acts = False

        async def _call(self, request: Request, timeout: float | None, *, spare: float = 0.0) -> EtcdResult:
            result = await super()._call(request, timeout, spare=spare)
            if self.acts and request.writes:
                self.acts = False
                await other.save(Node(name="n1", host="new"), ttl=60)
            return result

    client = Slow(etcd.url)
    async with Session(V2Store(client)) as session:
        node = await session.save(Node(name="n1"), ttl=60)
        await client.delete("/nodes/n1/@lease")
        node.host, client.acts = "old", True
        with pytest.raises(LeaseLapsedError):
            await session.save(node)
    assert (await other.load(Node, "n1")).host == "new"


async def test_a_save_of_a_lapsed_model_says_so_when_its_remains_are_cleared_away(
    session: Session, other: Session, client: Client, kind: Kind
) -> None:
    model = await lapsed(session, client, kind)
    await other.list(kind)
    await until_gone(client, kind.key("n1"))
    model.port = 1
    with pytest.raises(LeaseLapsedError):
        await session.save(model)


async def test_a_refresh_of_a_lapsed_model_says_so(session: Session, client: Client, kind: Kind) -> None:
    model = await lapsed(session, client, kind)
    with pytest.raises(LeaseLapsedError, match="the record does not exist any more; save the object as a new one"):
        await session.refresh(model, ttl=60)


async def test_a_refresh_of_a_record_that_was_made_anew_says_that_one_is_there(
    session: Session, other: Session, client: Client, kind: Kind
) -> None:
    model = await lapsed(session, client, kind)
    await other.save(kind(name="n1", port=7), ttl=60)
    with pytest.raises(LeaseLapsedError, match="the one that stands there now was made anew: load that"):
        await session.refresh(model, ttl=60)
    assert (await session.load(kind, "n1")).port == 7


async def test_a_lapsed_model_that_is_saved_again_is_registered_again(
    session: Session, other: Session, client: Client, kind: Kind
) -> None:
    model = await lapsed(session, client, kind)
    with pytest.raises(LeaseLapsedError):
        await session.refresh(model, ttl=60)
    await session.save(model, ttl=60)
    assert await ttl_of(other, kind) is not None


async def test_a_failed_save_of_a_lapsed_model_makes_it_a_new_object(
    session: Session, client: Client, kind: Kind
) -> None:
    model = await lapsed(session, client, kind)
    model.port = 1
    with pytest.raises(LeaseLapsedError):
        await session.save(model)
    await session.save(model, ttl=60)
    assert (await session.load(kind, "n1")).port == 1


async def test_a_new_object_may_take_the_place_of_a_lapsed_one(
    session: Session, other: Session, client: Client, kind: Kind
) -> None:
    await lapsed(session, client, kind)
    await other.save(kind(name="n1", port=2))
    assert (await session.load(kind, "n1")).port == 2


async def test_refreshes_keep_a_model_alive(session: Session, other: Session) -> None:
    models = [await session.save(Node(name="n1"), ttl=1), await session.save(Doc(name="n1"), ttl=1)]
    loop = asyncio.get_running_loop()
    end = loop.time() + 1.6  # longer than the TTL, and than etcd takes to notice
    while loop.time() < end:
        await asyncio.gather(*(session.refresh(model, ttl=1) for model in models))
        await asyncio.sleep(0.2)
    assert None not in (await other.get(Node, "n1"), await other.get(Doc, "n1"))


async def test_refresh_sets_another_ttl(session: Session, other: Session, kind: Kind) -> None:
    model = await session.save(kind(name="n1"), ttl=60)
    await session.refresh(model, ttl=600)
    ttl = await ttl_of(other, kind)
    assert ttl is not None
    assert ttl > 500


async def test_refresh_takes_one_request(etcd: EtcdServer, kind: Kind) -> None:
    async with FaultProxy(etcd.url) as proxy, connect(proxy.url) as session:
        model = await session.save(kind(name="n1"), ttl=60)
        sent = len(proxy.seen)
        await session.refresh(model, ttl=60)
        assert len(proxy.seen) - sent == 1


async def test_refresh_wakes_no_watcher(session: Session, other: Session, kind: Kind) -> None:
    model = await session.save(kind(name="n1"), ttl=60)
    async with other.watch(kind) as changes:
        await soon(changes)
        await session.refresh(model, ttl=60)
        await session.save(kind(name="n2"))
        assert (await soon(changes)).path == kind.key("n2")


async def test_refresh_does_not_move_the_version(session: Session) -> None:
    node = await session.save(Node(name="n1"), ttl=60)
    assert node.etcd is not None
    before = node.etcd.version
    await session.refresh(node, ttl=60)
    assert node.etcd.version == before


async def test_refresh_writes_to_the_lease_alone(session: Session, client: Client) -> None:
    node = await session.save(Node(name="n1"), ttl=60)
    before = await indexes(client, "/nodes/n1")
    await session.refresh(node, ttl=60)
    after = await indexes(client, "/nodes/n1")
    assert {name for name in after if after[name] != before[name]} == {"@lease"}


async def test_a_refresh_makes_nobodys_save_conflict(session: Session, other: Session, kind: Kind) -> None:
    mine = await session.save(kind(name="n1"), ttl=60)
    theirs = await other.load(kind, "n1")
    await session.refresh(mine, ttl=60)
    theirs.port = 1
    await other.save(theirs)
    assert (await session.load(kind, "n1")).port == 1


async def test_a_refresh_does_not_hide_that_another_save_came_between(
    session: Session, other: Session, kind: Kind
) -> None:
    mine = await session.save(kind(name="n1"), ttl=60)
    theirs = await other.load(kind, "n1")
    theirs.port = 1
    await other.save(theirs)
    await session.refresh(mine, ttl=60)
    mine.port = 2
    with pytest.raises(ConflictError):
        await session.save(mine)


async def test_a_model_without_a_ttl_can_not_be_refreshed(session: Session, kind: Kind) -> None:
    model = await session.save(kind(name="n1"))
    with pytest.raises(UsageError, match="has no TTL to put off"):
        await session.refresh(model, ttl=60)


async def test_a_refresh_gives_no_ttl_back_that_a_save_has_taken_away(
    session: Session, other: Session, kind: Kind
) -> None:
    mine = await session.save(kind(name="n1"), ttl=60)
    await other.save(await other.load(kind, "n1"), ttl=None)
    with pytest.raises(UsageError, match="no TTL"):
        await session.refresh(mine, ttl=60)
    assert await ttl_of(session, kind) is None


async def test_a_plain_save_keeps_the_ttl(session: Session, other: Session, kind: Kind) -> None:
    model = await session.save(kind(name="n1"), ttl=60)
    model.port = 1
    await session.save(model)
    ttl = await ttl_of(other, kind)
    assert ttl is not None
    assert ttl > 50


async def test_a_plain_save_keeps_the_ttl_that_another_session_has_put_off(
    session: Session, other: Session, kind: Kind
) -> None:
    mine = await session.save(kind(name="n1"), ttl=60)
    await other.refresh(await other.load(kind, "n1"), ttl=600)
    mine.port = 1
    await session.save(mine)
    ttl = await ttl_of(other, kind)
    assert ttl is not None
    assert ttl > 500


async def test_saving_with_ttl_none_takes_the_ttl_away(session: Session, other: Session, kind: Kind) -> None:
    model = await session.save(kind(name="n1"), ttl=60)
    await session.save(model, ttl=None)
    assert await ttl_of(other, kind) is None


async def test_a_model_whose_ttl_was_taken_away_never_expires(session: Session, client: Client, kind: Kind) -> None:
    model = await session.save(kind(name="n1"), ttl=1)
    await session.save(model, ttl=None)
    assert model.etcd is not None
    assert all(leaf.expiration is None for leaf in (await leaves(client, model.etcd.path)).values())


async def test_a_ttl_may_be_given_taken_and_given_again(session: Session, other: Session, kind: Kind) -> None:
    model = await session.save(kind(name="n1"), ttl=60)
    await session.save(model, ttl=None)
    await session.save(model, ttl=60)
    await session.refresh(model, ttl=600)
    ttl = await ttl_of(other, kind)
    assert ttl is not None
    assert ttl > 500


async def test_a_change_of_the_ttl_alone_wakes_no_watcher(session: Session, other: Session, kind: Kind) -> None:
    model = await session.save(kind(name="n1"), ttl=60)
    async with other.watch(kind) as changes:
        await soon(changes)
        await session.save(model, ttl=None)
        model.port = 1
        await session.save(model)
        change = await soon(changes)
        assert isinstance(change, Updated)
        assert change.new.port == 1
