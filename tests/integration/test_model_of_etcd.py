"""The exploration's model of etcd does what a real etcd does, request by request."""

from __future__ import annotations

import random

import pytest

from etcdorm.embedded import EtcdServer
from etcdorm.path import Path
from etcdorm.v2 import Client
from etcdorm.v2.drive import drive
from etcdorm.v2.protocol.commit import reservation
from etcdorm.v2.protocol.snapshot import Key, Snapshot
from etcdorm.v2.protocol.steps import (
    CLEARED,
    Append,
    Done,
    Drop,
    DropDirectory,
    Happened,
    Outcome,
    Recall,
    Refresh,
    Refused,
    Request,
    Reserve,
    Seen,
    Swap,
    look,
    one,
)
from tests.exploration.world import RECORD, World
from tests.support.raw import expire, flush_history

NAMES = ("a", "b", "@commit")
STEPS = 300


async def test_the_model_answers_as_etcd_does(etcd: EtcdServer) -> None:
    dice = random.Random(2)
    world = World()
    async with Client(etcd.url) as client:
        # Indexes differ by what the server has done before; one write shows by how much.
        first = await client.write("/elsewhere", "x")
        offset = first.modifiedIndex - world.index
        for _ in range(STEPS):
            request = _request(dice, world)
            expected = world.perform(request)
            outcome = await drive(client, one(_moved(request, offset)), timeout=10)
            assert _comparable(outcome, offset) == _comparable(expected, 0), request
            real = await drive(client, look(RECORD), timeout=10)
            assert _keys(real, offset) == _keys(world.snapshot(), 0), request


@pytest.mark.parametrize("change", ["filled", "dropped", "expired"])
async def test_the_model_names_and_remembers_appended_keys_as_etcd_does(etcd: EtcdServer, change: str) -> None:
    world = World()
    append = Append(RECORD, reservation("w"), 60)
    async with Client(etcd.url) as client:

        async def both(model: Request, real: Request) -> tuple[Outcome, Outcome]:
            return world.perform(model), await drive(client, one(real), timeout=10)

        made = await both(append, append)
        (model, index), (real, real_index) = [_made(outcome) for outcome in made]
        match change:
            case "filled":
                await both(Swap(model, "x", index), Swap(real, "x", real_index))
                await both(Swap(model, "y", index + 1), Swap(real, "y", real_index + 1))
            case "dropped":
                await both(Drop(model, index), Drop(real, real_index))
            case _:
                world.expire(RECORD.relative(model))
                await expire(client, str(real))
        expected, outcome = await both(Recall(model, index), Recall(real, real_index))
        assert isinstance(expected, Happened)
        assert isinstance(outcome, Happened)
        assert outcome.value == expected.value == ("x" if change == "filled" else None)
        if change != "expired":  # what made it expire at once has moved its index
            assert (outcome.before, expected.before) == (real_index, index)
        world.forget()
        await flush_history(client)
        expected, outcome = await both(Recall(model, index), Recall(real, real_index))
        assert _comparable(outcome, 0) == _comparable(expected, 0) == ("refused", CLEARED)


def _made(outcome: Outcome) -> tuple[Path, int]:
    assert isinstance(outcome, Done)
    assert outcome.path == RECORD / f"{outcome.index:020}"
    return outcome.path, outcome.index


def _request(dice: random.Random, world: World) -> Request:
    name = dice.choice(NAMES)
    path = RECORD / name
    key = world.keys.get(name)
    index = key.index if key is not None and dice.random() < 0.7 else dice.randint(1, world.index + 1)
    value = f"v{dice.randrange(3)}"
    match dice.randrange(20):
        case 0:
            return DropDirectory(path)  # where there is a key, or nothing
        case number if number % 4 == 0:
            return Reserve(path, reservation("w"), 60)
        case number if number % 4 == 1:
            return Swap(path, value, index, dice.choice((None, 60)))
        case number if number % 4 == 2:
            return Drop(path, index)
        case _:
            return Refresh(path, 60, index)


def _moved(request: Request, offset: int) -> Request:
    match request:
        case Swap(path, value, index, ttl):
            return Swap(path, value, index + offset, ttl)
        case Drop(path, index):
            return Drop(path, index + offset)
        case Refresh(path, ttl, index):
            return Refresh(path, ttl, index + offset)
        case _:
            return request


def _comparable(outcome: Outcome, offset: int) -> tuple[str, int | None]:
    match outcome:
        case Done(index):
            return "done", index - offset
        case Refused(code):
            return "refused", code
        case Seen():
            return "seen", None
        case _:
            return "lost", None


def _keys(snapshot: Snapshot, offset: int) -> dict[str, tuple[str, int, int, bool]]:
    def row(key: Key) -> tuple[str, int, int, bool]:
        return key.value, key.index - offset, key.created - offset, key.expires

    return {name: row(key) for name, key in snapshot.keys.items()}
