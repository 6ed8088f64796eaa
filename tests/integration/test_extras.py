"""Extra fields in a directory that other records and other tools share."""

from __future__ import annotations

from typing import Any

from etcdorm import Created, Deleted, EtcdModel, Session, Updated
from etcdorm.v2 import Client
from tests.support.raw import soon, texts


class Region(EtcdModel, path="/regions/{name}", extra="allow"):
    name: str
    open: bool = True


class Rack(EtcdModel, path="/regions/{region}/racks/{id}"):
    region: str
    id: int
    units: int = 42


class Note(EtcdModel, path="/regions/{region}/notes/{id}", layout="document"):
    region: str
    id: int
    text: str = ""


def region(**extras: Any) -> Region:
    return Region.model_validate({"name": "eu", **extras})


async def test_extras_and_the_records_below_leave_each_other_alone(session: Session, client: Client) -> None:
    rack, note = await session.save(Rack(region="eu", id=1)), await session.save(Note(region="eu", id=1, text="n"))
    await client.write("/regions/eu/racks/2/units", "1")  # one that no session ever saved
    eu = await session.save(region(weight="5", owner=None, **{"@x": {}, "a/b": "", "_y": [1]}))
    stored = {"open": "true", "weight": '"5"', "owner": "null", "%40x": "{}", "a%2Fb": '""', "%5Fy": "[1]"}
    below = {"racks/2/units": "1", "notes/1": '{"text":"n"}'}
    found = await texts(client, "/regions/eu")
    hidden_aside = {name: text for name, text in found.items() if not name.startswith("racks/1/")}
    assert hidden_aside == {**stored, **below}
    assert await session.list(Region) == [eu]

    await client.write("/regions/eu/since", "long ago")
    loaded = await session.load(Region, "eu")
    assert loaded == region(weight="5", owner=None, since="long ago", **{"@x": {}, "a/b": "", "_y": [1]})

    async with session.watch(Region) as changes:
        assert isinstance(await soon(changes), Created)
        rack.units = 1
        note.text = "other"
        await session.save(rack)
        await session.save(note)
        for name in ("owner", "@x", "a/b", "_y", "weight"):
            delattr(loaded, name)
        await session.save(loaded)
        change = await soon(changes)
        assert isinstance(change, Updated)
        assert change.new == loaded == region(since="long ago")

        assert (await texts(client, "/regions/eu")).items() >= {"open": "true", "since": "long ago"}.items()
        await session.delete(loaded)
        assert isinstance(await soon(changes), Deleted)

    assert await session.get(Region, "eu") is None
    assert {rack.id for rack in await session.list(Rack)} == {1, 2}
    assert await session.load(Note, "eu", 1) == note
    assert await session.save(region(since="today")) == await session.load(Region, "eu")


async def test_edits_of_different_extras_are_merged(session: Session, other: Session) -> None:
    mine = await session.save(region(a=1))
    theirs = await other.load(Region, "eu")
    theirs.b = 2  # type: ignore[attr-defined]  # an extra field
    await other.save(theirs)
    mine.a = 3  # type: ignore[attr-defined]
    await session.save(mine, on_conflict="merge")
    assert await other.load(Region, "eu") == region(a=3, b=2)
