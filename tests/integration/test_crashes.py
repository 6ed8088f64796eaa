"""A writer is killed (SIGKILL) at every request of whatever it does; the next one finds all of it or nothing, and can
go on."""

from __future__ import annotations

import asyncio
import json
import signal
from itertools import pairwise

import pytest

from etcdorm import Session
from etcdorm.embedded import EtcdServer
from etcdorm.testing import EtcdBinary
from etcdorm.v2 import Client
from etcdorm.v2.protocol.commit import APPLIED, BOOKKEEPING, COMMIT, LEASE, RESERVATION_TTL, Commit, is_reservation
from etcdorm.v2.protocol.fence import without_fence
from tests.conftest import every_etcd
from tests.support.crashing import (
    CASES,
    LONG,
    RECORDS,
    Case,
    Fate,
    Line,
    NewNode,
    NewPaper,
    Paper,
    State,
    Thing,
    janitor_of,
    live,
)
from tests.support.forked import exit_code_of
from tests.support.raw import expire, leaves, soon

AT_ONCE = 4
NEVER = -1
FATES: tuple[Fate, ...] = ("before", "after")


@pytest.mark.parametrize("case", RECORDS)
async def test_a_writer_that_is_killed_leaves_all_of_it_or_nothing(
    etcd: EtcdServer, etcd_binary: EtcdBinary, session: Session, client: Client, case: str
) -> None:
    told = CASES[case]
    gate = asyncio.Semaphore(AT_ONCE)

    async def killed(name: str, which: int, fate: Fate) -> State | None:
        async with gate:
            await told.prepare(session, client, told.model, name)
            assert await exit_code_of(live, etcd.url, case, name, which, fate) == -signal.SIGKILL
            found = await session.get(told.model, name)
            state = State.of(found)
            if found is None:
                await check_nothing_lasts(told, session, client, name)
            await go_on(told, session, client, name, found)
            return state

    # The states are those of the other fate, but where requests are under way at the same time: one server will do.
    for fate in FATES if etcd_binary == every_etcd()[0] else FATES[:1]:
        await told.prepare(session, client, told.model, fate)
        requests = await exit_code_of(live, etcd.url, case, fate, NEVER, fate)
        assert State.of(await session.get(told.model, fate)) == told.ends[-1]
        states = await asyncio.gather(*(killed(f"{fate}{which}", which, fate) for which in range(requests)))
        assert all(state in told.ends for state in states), f"{fate}: {states}"
        order = [told.ends.index(state) for state in states]
        assert all(one <= other for one, other in pairwise(order)), f"{fate}: {states}"
        # Not their ttl: it is gone in the moment between the end of a key's time and its removal.
        assert all(leaf.expiration for leaf in (await leaves(client, "/_etcdorm/locks")).values())
        assert states[0 if fate == "before" else -1] == told.ends[0 if fate == "before" else -1]


async def go_on(case: Case, session: Session, client: Client, name: str, found: Thing | None) -> None:
    """Another session saves, deletes and makes anew; nothing of the dead one comes up, and nothing of it stays."""
    if found is None:
        found = await session.save(case.model(name=name, a="next", labels={"n": "next"}))
    else:
        found.a, found.b, found.labels = "next", None, {"n": "next"}
        await session.save(found)
    assert await session.load(case.model, name) == found
    await check_keys(case, client, found)
    await session.delete(found)
    assert await session.get(case.model, name) is None
    await check_nothing_lasts(case, session, client, name)
    found = await session.save(case.model(name=name, a="anew"), ttl=LONG)
    assert await session.load(case.model, name) == found
    await check_keys(case, client, found)


async def check_nothing_lasts(case: Case, session: Session, client: Client, name: str) -> None:
    """Where a session has met no record, there is nothing that will not be gone by itself within seconds."""
    await janitor_of(session)
    keys = await leaves(client, case.model.key(name))
    lasting = {key for key, leaf in keys.items() if leaf.expiration is None}
    assert lasting == ({"note", COMMIT} if case.others else set())


async def check_keys(case: Case, client: Client, thing: Thing) -> None:
    """What etcd holds says what this object says, and what does not will be gone by itself within seconds."""
    keys = await leaves(client, type(thing).key(thing.name))
    for key, leaf in list(keys.items()):
        if is_reservation(leaf.value or "", expires=leaf.ttl is not None):
            assert (leaf.ttl or 0) <= RESERVATION_TTL
            del keys[key]
    plain = {key: leaf.value for key, leaf in keys.items() if key not in BOOKKEEPING}
    version = {"@schema": "2"} if case.model in (NewNode, NewPaper) else {}
    if case.model in (Paper, NewPaper):
        members = thing.model_dump(exclude={"name"}) | ({"@schema": 2} if version else {})
        assert json.loads(without_fence(plain[""] or "")) == members
        return
    expected = {"a": thing.a, **{f"labels/{name}": text for name, text in thing.labels.items()}, **version}
    assert plain == expected | ({"note": "theirs"} if case.others else {})
    commit = Commit.from_text(keys[COMMIT].value or "")
    assert keys[APPLIED].value == commit.id
    if LEASE in keys and keys[LEASE].value != commit.lease:
        assert keys[LEASE].ttl is not None


@pytest.mark.parametrize("case", ["save all", "document: save all", "delete all", "document: delete all"])
@pytest.mark.parametrize("fate", FATES)
async def test_of_many_each_is_there_or_not(
    etcd: EtcdServer, session: Session, client: Client, case: str, fate: Fate
) -> None:
    model = CASES[case].model
    requests = await exit_code_of(live, etcd.url, case, "dry", NEVER, fate)
    assert requests >= 3
    for which in range(requests):
        assert await exit_code_of(live, etcd.url, case, f"x{which}-", which, fate) == -signal.SIGKILL
        things = [model(name=f"x{which}-{number}", a="new" if "save" in case else "old") for number in range(3)]
        for thing in things:
            assert await session.get(model, thing.name) in (None, thing)
            thing.a = "next"
            await session.save(thing, on_conflict="overwrite")
            await check_keys(CASES[case], client, thing)


@pytest.mark.parametrize("ttl", [None, LONG], ids=["for good", "with a ttl"])
async def test_an_appender_that_is_killed_leaves_its_record_or_nothing(
    etcd: EtcdServer, session: Session, client: Client, ttl: int | None
) -> None:
    name = "ttl" if ttl else ""
    async with session.tail(Line) as lines:
        deaths: tuple[tuple[int, Fate], ...] = ((0, "before"), (0, "after"), (1, "before"), (1, "after"), (2, "before"))
        for which, fate in deaths:
            code = await exit_code_of(live, etcd.url, "append", name, which, fate)
            assert code == (2 if which == 2 else -signal.SIGKILL)
            landed = (which, fate) in ((1, "after"), (2, "before"))
            after = await session.append(Line(text="after"))
            # A reservation that a dead one has left holds the next ones up until it evaporates.
            for key, leaf in (await leaves(client, "/log")).items():
                if is_reservation(leaf.value or "", expires=leaf.ttl is not None):
                    await expire(client, f"/log/{key}")
            found = [await soon(lines) for _ in range(1 + landed)]
            assert [line.text for line in found] == ["of one who dies", "after"][not landed :]
            assert found[-1] == after
            assert (await session.records(Line))[-len(found) :] == found
            assert (found[0].etcd is not None and found[0].etcd.ttl is not None) is (landed and ttl is not None)


async def test_who_is_killed_while_trimming_has_deleted_none_but_the_oldest(etcd: EtcdServer, session: Session) -> None:
    for which in range(4):
        lines = [await session.append(Line(text=str(number))) for number in range(4)]
        code = await exit_code_of(live, etcd.url, "trim", "x", which, "before")
        assert code == -signal.SIGKILL
        left = await session.records(Line)
        assert left[-1] == lines[-1]
        assert await session.trim(Line, keep=1) == len(left) - 1
        assert await session.trim(Line, keep=0) == 1
