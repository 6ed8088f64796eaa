"""Directories that other tools made, and edits that other tools make in ours."""

from __future__ import annotations

import asyncio
import logging

import pytest

from etcdorm import AlreadyExistsError, ConflictError, EtcdModel, Session, UsageError, connect
from etcdorm.testing import EtcdServer
from etcdorm.v2 import Client
from tests.support.models import Dc, Doc, Node, Rack
from tests.support.raw import indexes, leaves, texts


async def make_foreign(client: Client, **keys: str) -> None:
    for key, text in keys.items():
        await client.write(f"/nodes/n1/{key}", text)


async def test_a_directory_that_other_tools_made_loads(session: Session, client: Client) -> None:
    await make_foreign(client, host="10.0.0.1", port="9090")
    assert await session.load(Node, "n1") == Node(name="n1", host="10.0.0.1", port=9090)


async def test_a_key_that_other_tools_made_loads_as_a_document(session: Session, client: Client) -> None:
    await client.write("/docs/d1", '{"host": "10.0.0.1", "unknown": 1}')
    assert await session.load(Doc, "d1") == Doc(name="d1", host="10.0.0.1")


async def test_a_directory_that_other_tools_made_is_listed(session: Session, client: Client) -> None:
    await make_foreign(client, host="10.0.0.1")
    assert [each.name for each in await session.list(Node)] == ["n1"]


async def test_a_new_object_does_not_overwrite_what_other_tools_made(session: Session, client: Client) -> None:
    await make_foreign(client, host="theirs")
    with pytest.raises(AlreadyExistsError):
        await session.save(Node(name="n1", host="mine"))


async def test_nothing_of_a_refused_new_object_stays_in_a_directory_of_other_tools(
    session: Session, client: Client
) -> None:
    await make_foreign(client, host="theirs")
    with pytest.raises(AlreadyExistsError):
        await session.save(Node(name="n1", host="mine"))
    assert set(await leaves(client, "/nodes/n1")) == {"host"}


async def test_a_new_object_may_be_saved_beside_keys_that_the_model_does_not_know(
    session: Session, client: Client
) -> None:
    await make_foreign(client, note="theirs")
    await session.save(Node(name="n1"))
    assert (await texts(client, "/nodes/n1"))["note"] == "theirs"


async def test_saving_a_directory_of_other_tools_writes_the_changed_key_and_the_bookkeeping_alone(
    session: Session, client: Client
) -> None:
    await make_foreign(client, host="h", port="08080")
    before = await indexes(client, "/nodes/n1")
    node = await session.load(Node, "n1")
    node.host = "x"
    await session.save(node)
    after = await indexes(client, "/nodes/n1")
    assert {name for name in after if after[name] != before.get(name)} == {"host", "@commit", "@applied"}


async def test_an_adopted_directory_is_guarded_like_any_other(session: Session, other: Session, client: Client) -> None:
    await make_foreign(client, host="h")
    mine, theirs = await session.load(Node, "n1"), await other.load(Node, "n1")
    theirs.port = 1
    await other.save(theirs)
    mine.port = 2
    with pytest.raises(ConflictError):
        await session.save(mine)


async def test_a_directory_of_other_tools_that_has_changed_since_it_was_loaded_is_a_conflict(
    session: Session, client: Client
) -> None:
    await make_foreign(client, host="h")
    node = await session.load(Node, "n1")
    await make_foreign(client, host="theirs")
    node.port = 2
    with pytest.raises(ConflictError, match="changed host"):
        await session.save(node)


async def test_of_ten_sessions_that_adopt_a_directory_exactly_one_wins(session: Session, client: Client) -> None:
    await make_foreign(client, host="h")
    rivals = [await session.load(Node, "n1") for _ in range(10)]
    for number, rival in enumerate(rivals):
        rival.port = number
    results = await asyncio.gather(*(session.save(rival) for rival in rivals), return_exceptions=True)
    assert [type(each) for each in results if not isinstance(each, ConflictError)] == [Node]


async def test_a_directory_of_other_tools_can_be_given_a_ttl(session: Session, client: Client) -> None:
    await make_foreign(client, host="h")
    await session.save(await session.load(Node, "n1"), ttl=60)
    assert (await leaves(client, "/nodes/n1"))["@lease"].ttl is not None


async def test_a_directory_of_other_tools_can_be_deleted(session: Session, client: Client) -> None:
    await make_foreign(client, host="h", note="theirs")
    await session.delete(await session.load(Node, "n1"))
    assert await texts(client, "/nodes/n1") == {"note": "theirs"}


async def test_a_key_of_the_model_that_another_tool_has_added_goes_with_a_delete(
    session: Session, client: Client
) -> None:
    node = await session.save(Node(name="n1"))
    await client.write("/nodes/n1/labels/b", "2")
    await session.delete(node)
    assert await leaves(client, "/nodes") == {}


async def test_update_takes_a_directory_of_other_tools_over(session: Session, other: Session, client: Client) -> None:
    await make_foreign(client, port="0")

    def increment(node: Node) -> None:
        node.port += 1

    await make_foreign(client, host="h")
    await asyncio.gather(*((session, other)[task % 2].update(Node, "n1", increment) for task in range(10)))
    assert await texts(client, "/nodes/n1") == {"host": "h", "port": "10"}


async def test_a_record_of_other_tools_within_another_record_is_not_part_of_it(
    session: Session, client: Client
) -> None:
    await client.write("/dc/eu/racks/1/units", "1")
    dc = await session.save(Dc(dc="eu"))
    await session.delete(dc)
    assert await session.list(Rack) == [Rack(dc="eu", rack=1, units=1)]


async def test_an_edit_by_another_tool_shows_on_the_next_read(session: Session, client: Client) -> None:
    await session.save(Node(name="n1"))
    await client.write("/nodes/n1/port", "9090")
    assert (await session.load(Node, "n1")).port == 9090


async def test_a_key_that_another_tool_deletes_takes_its_default(session: Session, client: Client) -> None:
    await session.save(Node(name="n1", port=1))
    await client.delete("/nodes/n1/port")
    assert (await session.load(Node, "n1")).port == 8080


async def test_an_entry_that_another_tool_adds_to_a_map_shows(session: Session, client: Client) -> None:
    await session.save(Node(name="n1", labels={"a": "1"}))
    await client.write("/nodes/n1/labels/b", "2")
    assert (await session.load(Node, "n1")).labels == {"a": "1", "b": "2"}


async def test_an_edit_of_another_key_survives_a_save(session: Session, client: Client) -> None:
    node = await session.save(Node(name="n1"))
    await client.write("/nodes/n1/port", "9090")
    node.host = "x"
    await session.save(node)
    assert await session.load(Node, "n1") == Node(name="n1", host="x", port=9090)


async def test_an_edit_of_the_same_key_is_overwritten(session: Session, client: Client) -> None:
    node = await session.save(Node(name="n1"))
    await client.write("/nodes/n1/port", "9090")
    node.port = 1
    await session.save(node)
    assert (await texts(client, "/nodes/n1"))["port"] == "1"


@pytest.mark.parametrize("ttl", [None, 60])
async def test_an_edit_survives_a_second_save_of_the_same_object(
    session: Session, client: Client, ttl: int | None
) -> None:
    """The first one has met it when it looked at the keys; the object has not, and was not edited there either."""
    node = await session.save(Node(name="n1"), ttl=ttl)
    await client.write("/nodes/n1/port", "9090")
    await client.write("/nodes/n1/labels/b", "theirs")
    node.labels = {"a": "1"}
    await session.save(node)
    node.host = "x"
    await session.save(node)
    assert await session.load(Node, "n1") == Node(name="n1", host="x", port=9090, labels={"a": "1", "b": "theirs"})


async def test_an_edit_that_only_the_second_save_overwrites_is_warned_of(
    session: Session, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    node = await session.save(Node(name="n1"), ttl=60)
    await client.write("/nodes/n1/port", "9090")
    node.host = "x"
    await session.save(node)
    assert caplog.messages == []
    node.port = 1
    await session.save(node)
    assert ["port" in message for message in caplog.messages] == [True]


async def test_an_overwritten_edit_is_warned_of(
    session: Session, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    node = await session.save(Node(name="n1"))
    await client.write("/nodes/n1/port", "9090")
    node.port = 1
    await session.save(node)
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [(record.name, "/nodes/n1" in record.getMessage()) for record in warnings] == [("etcdorm.store", True)]


async def test_the_warning_names_the_key_and_no_value(
    session: Session, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    node = await session.save(Node(name="n1", host="secret-1"))
    await client.write("/nodes/n1/host", "secret-2")
    node.host = "secret-3"
    await session.save(node)
    assert [("host" in message, "secret" in message) for message in caplog.messages] == [(True, False)]


async def test_an_overwritten_edit_is_warned_of_when_the_save_deletes_the_key(
    session: Session, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    node = await session.save(Node(name="n1", labels={"a": "1"}))
    await client.write("/nodes/n1/labels/a", "2")
    node.labels = {}
    await session.save(node)
    assert ["labels/a" in message for message in caplog.messages] == [True]


async def test_saves_of_sessions_alone_warn_of_nothing(
    etcd: EtcdServer, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    await session.save(Node(name="n1", port=0))

    def increment(node: Node) -> None:
        node.port += 1

    async with connect(etcd.url, timeout=60) as one, connect(etcd.url, timeout=60) as other:  # each meets many others
        await asyncio.gather(*((one, other)[task % 2].update(Node, "n1", increment) for task in range(20)))
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_an_edit_of_a_document_by_another_tool_is_a_conflict(session: Session, client: Client) -> None:
    doc = await session.save(Doc(name="d1"))
    await client.write("/docs/d1", '{"host":"theirs"}')
    doc.port = 1
    with pytest.raises(ConflictError):
        await session.save(doc)


async def test_members_of_a_document_that_the_model_does_not_know_survive_a_save(
    session: Session, client: Client
) -> None:
    await client.write("/docs/d1", '{"host":"h","unknown":[1]}')
    doc = await session.load(Doc, "d1")
    doc.port = 1
    await session.save(doc)
    assert '"unknown":[1]' in str((await client.read("/docs/d1")).value)


async def test_a_directory_where_a_key_was_keeps_no_save_from_being_read(
    session: Session, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    node = await session.save(Node(name="n1", host="h", port=1))
    await client.delete("/nodes/n1/port")
    await client.write("/nodes/n1/port/deep", "theirs")
    node.port, node.host = 2, "mine"
    await session.save(node)
    assert "/nodes/n1/port is a directory with something in it, where a value has to be" in caplog.text
    loaded = await session.load(Node, "n1")
    assert loaded == node
    loaded.labels = {"a": "1"}  # goes on as ever, though the port is still not in its place
    await session.save(loaded)
    found = await texts(client, "/nodes/n1")
    assert (found["host"], found["labels/a"], found["port/deep"]) == ("mine", "1", "theirs")
    await client.delete("/nodes/n1/port", recursive=True)
    loaded.host = "h"
    await session.save(loaded)
    assert (await texts(client, "/nodes/n1"))["port"] == "2"
    assert await session.load(Node, "n1") == loaded


async def test_a_key_where_a_directory_was_keeps_no_save_from_being_read(
    session: Session, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    node = await session.save(Node(name="n1", labels={"a": "1"}))
    await client.delete("/nodes/n1/labels", recursive=True)
    await client.write("/nodes/n1/labels", "theirs")
    node.labels = {"b": "2"}
    await session.save(node)
    assert "/nodes/n1/labels/b has to lie in a directory, where there is a key" in caplog.text
    assert await session.load(Node, "n1") == node


async def test_a_directory_with_other_records_in_place_of_a_key_is_told(
    session: Session, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    class Below(EtcdModel, path="/nodes/{name}/port"):
        name: str
        unit: str = "tcp"

    await session.save(Below(name="n1"))
    node = await session.save(Node(name="n1", port=3))
    assert "/nodes/n1/port is a directory with something in it" in caplog.text
    assert await session.load(Node, "n1") == node
    assert await session.load(Below, "n1") == Below(name="n1")


async def test_a_directory_that_is_seen_in_place_of_a_key_is_not_written_to(session: Session, client: Client) -> None:
    await session.save(Node(name="n1"))
    await client.delete("/nodes/n1/port")
    await client.write("/nodes/n1/port/deep", "theirs")
    before = await indexes(client, "/nodes/n1")
    with pytest.raises(UsageError, match=r"/nodes/n1/port is a directory in etcd, with /nodes/n1/port/deep in it"):
        await session.save(Node(name="n1", port=5), on_conflict="overwrite")
    assert await indexes(client, "/nodes/n1") == before
