"""Every verb of the client meets every fault: what its caller is told, how often it is sent, how often it happens.

docs/lost-answers.md has the same as a table.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from etcdorm.testing import EtcdServer
from etcdorm.testing.faults import Fate, FaultProxy, first
from etcdorm.v2 import Client, EtcdResult, EtcdRole, EtcdUnconfirmed, EtcdUser
from tests.support.raw import DEADLINE

PAGE = Path(__file__).parents[2] / "docs" / "lost-answers.md"


@dataclass(frozen=True)
class End:
    """What the caller is told, how often the request was sent, how often it has happened once all of it arrived."""

    told: Literal["done", "unconfirmed"]
    sent: int
    happened: int


SENT_AGAIN, FOUND = End("done", 2, 1), End("done", 1, 1)
DID_NOT_HAPPEN, HAPPENED = End("unconfirmed", 1, 0), End("unconfirmed", 1, 1)

FATES: Mapping[str, tuple[Fate, ...]] = {
    "never arrived": (Fate.CUT_BEFORE, Fate.STALL),
    "answer lost": (Fate.CUT_AFTER, Fate.CUT_BODY, Fate.STALL_ANSWER),
    "arrives later": (Fate.LATE,),
}
KINDS: Mapping[str, Mapping[str, End]] = {
    "read": {"never arrived": SENT_AGAIN, "answer lost": SENT_AGAIN, "arrives later": SENT_AGAIN},
    "wait": {"never arrived": SENT_AGAIN, "answer lost": SENT_AGAIN, "arrives later": SENT_AGAIN},
    "write": {"never arrived": DID_NOT_HAPPEN, "answer lost": HAPPENED, "arrives later": HAPPENED},
    "by index": {"never arrived": SENT_AGAIN, "answer lost": HAPPENED, "arrives later": SENT_AGAIN},
    "unique": {"never arrived": DID_NOT_HAPPEN, "answer lost": FOUND, "arrives later": HAPPENED},
    "unique by index": {"never arrived": SENT_AGAIN, "answer lost": FOUND, "arrives later": SENT_AGAIN},
}
# Seconds, where silence is met. Half of a read's are for another endpoint, a fifth of a write's for settling it.
TIMEOUTS = {"read": 2.0, "write": 0.4, "by index": 2.5, "unique": 2.5, "unique by index": 2.5}

# Silence takes its time, so one of each kind meets it. For a wait it has no end by itself.
STALLED: Mapping[str, tuple[str, ...]] = {
    "read": ("read",),
    "wait": (),
    "write": ("write", "write(append=True)"),
    "by index": ("write(prevIndex=...)",),
    "unique": ("write",),
    "unique by index": ("write(prevIndex=...)",),
}

Call = Callable[[Client, EtcdResult], Awaitable[object]]

READS: Mapping[str, Call] = {
    "read": lambda client, key: client.read(key.key),
    "read(quorum=True)": lambda client, key: client.read(key.key, quorum=True),
    "contains": lambda client, key: client.contains(key.key),
    "members": lambda client, key: client.members(),
    "machines": lambda client, key: client.machines(),
    "leader": lambda client, key: client.leader(),
    "stats": lambda client, key: client.stats(),
    "leader_stats": lambda client, key: client.leader_stats(),
    "store_stats": lambda client, key: client.store_stats(),
    "version": lambda client, key: client.version(),
    "cluster_version": lambda client, key: client.cluster_version(),
}
WAITS: Mapping[str, Call] = {
    "read(wait=True)": lambda client, key: client.read(key.key, wait=True, waitIndex=key.modifiedIndex),
    "watch": lambda client, key: client.watch(key.key, key.modifiedIndex),
}
WRITES: Mapping[str, Call] = {
    "write": lambda client, key: client.write(key.key, "new"),
    "set": lambda client, key: client.set(key.key, "new"),
    "write(prevExist=False)": lambda client, key: client.write("/verbs/made", "new", prevExist=False),
    "write(prevExist=True)": lambda client, key: client.write(key.key, "new", prevExist=True),
    "write(prevValue=...)": lambda client, key: client.write(key.key, "new", prevValue="old"),
    "write(dir=True)": lambda client, key: client.write("/verbs/directory", dir=True),
    "write(append=True)": lambda client, key: client.write("/verbs/queue", "new", append=True),
    "test_and_set": lambda client, key: client.test_and_set(key.key, "new", "old"),
    "refresh": lambda client, key: client.refresh(key.key, 60),
    "delete": lambda client, key: client.delete(key.key),
    "delete(recursive=True)": lambda client, key: client.delete("/verbs", recursive=True),
    "delete(dir=True)": lambda client, key: client.delete("/verbs/empty", dir=True),
    "delete(prevValue=...)": lambda client, key: client.delete(key.key, prevValue="old"),
    "pop": lambda client, key: client.pop(key.key),
}
BY_INDEX: Mapping[str, Call] = {
    "write(prevIndex=...)": lambda client, key: client.write(key.key, "new", prevIndex=key.modifiedIndex),
    "update": lambda client, key: client.update(key),
    "delete(prevIndex=...)": lambda client, key: client.delete(key.key, prevIndex=key.modifiedIndex),
    "pop(prevIndex=...)": lambda client, key: client.pop(key.key, prevIndex=key.modifiedIndex),
    "refresh(prevIndex=...)": lambda client, key: client.refresh(key.key, 60, prevIndex=key.modifiedIndex),
}
UNIQUE: Mapping[str, Call] = {
    "write": lambda client, key: client.write(key.key, "new", unique=True),
    "write(prevExist=False)": lambda client, key: client.write("/verbs/made", "new", prevExist=False, unique=True),
    "write(append=True)": lambda client, key: client.write("/verbs/queue", "new", append=True, unique=True),
    "test_and_set": lambda client, key: client.test_and_set(key.key, "new", "old", unique=True),
}
UNIQUE_BY_INDEX: Mapping[str, Call] = {
    "write(prevIndex=...)": lambda client, key: client.write(key.key, "new", prevIndex=key.modifiedIndex, unique=True),
    "update": lambda client, key: client.update(key, unique=True),
    "delete(prevIndex=...)": lambda client, key: client.delete(key.key, prevIndex=key.modifiedIndex, unique=True),
    "pop(prevIndex=...)": lambda client, key: client.pop(key.key, prevIndex=key.modifiedIndex, unique=True),
}
VERBS: Mapping[str, Mapping[str, Call]] = {
    "read": READS,
    "wait": WAITS,
    "write": WRITES,
    "by index": BY_INDEX,
    "unique": UNIQUE,
    "unique by index": UNIQUE_BY_INDEX,
}


def method_of(name: str, kind: str) -> str:
    if kind in ("read", "wait"):
        return "GET"
    if "append" in name:
        return "POST"
    return "DELETE" if name.startswith(("delete", "pop")) else "PUT"


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, verbs in VERBS.items() for name in verbs])
async def test_a_verb_meets_every_fault(etcd: EtcdServer, client: Client, kind: str, name: str) -> None:
    call, method = VERBS[kind][name], method_of(name, kind)
    for what, fates in FATES.items():
        for fate in fates:
            silent = fate in (Fate.STALL, Fate.STALL_ANSWER)
            if silent and name not in STALLED[kind]:
                continue
            timeout = TIMEOUTS[kind] if silent else DEADLINE
            end = await meet(etcd, client, call, method, fate, timeout=timeout)
            expected = KINDS[kind][what]
            if method == "GET":
                expected = End(expected.told, expected.sent, 0)
            assert end == expected, fate


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, verbs in VERBS.items() for name in verbs])
async def test_a_verb_goes_to_another_endpoint_where_one_refuses_connections(
    etcd: EtcdServer, client: Client, kind: str, name: str
) -> None:
    key = await prepare(client)
    async with FaultProxy(etcd.url) as dead, FaultProxy(etcd.url) as proxy:
        hosts = [dead.url, proxy.url]
        await dead.refuse()
        async with Client(hosts) as unlucky:
            await VERBS[kind][name](unlucky, key)
        assert proxy.methods() == [method_of(name, kind)]


@pytest.mark.parametrize("fate", [Fate.CUT_BEFORE, Fate.CUT_AFTER, Fate.LATE])
async def test_a_call_about_users_and_roles_is_sent_once(etcd: EtcdServer, fate: Fate) -> None:
    async with FaultProxy(etcd.url) as proxy, Client(proxy.url) as unlucky:
        user, role = EtcdUser(unlucky, "verbs"), EtcdRole(unlucky, "verbs")
        user.password = "secret"
        role.grant("/verbs/*", "R")
        calls: list[tuple[str, Callable[[], Awaitable[object]]]] = [
            ("PUT", user.write),
            ("PUT", role.write),
            ("DELETE", role.delete),
            ("DELETE", user.delete),
        ]
        for method, call in calls:
            proxy.judge = first(method, fate)
            before = proxy.methods().count(method)
            with pytest.raises(EtcdUnconfirmed) as raised:
                await call()
            assert "secret" not in str(raised.value)
            assert proxy.methods().count(method) == before + 1
            await proxy.release()
            if fate is Fate.CUT_BEFORE:
                await call()  # it is no less possible now


async def meet(etcd: EtcdServer, client: Client, call: Call, method: str, fate: Fate, *, timeout: float) -> End:
    """Make the call through a proxy where the first request of its method meets the fate."""
    key = await prepare(client)
    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(FaultProxy(etcd.url)) for _ in range(2)]
        proxies[0].judge = first(method, fate)
        unlucky = await stack.enter_async_context(Client([proxy.url for proxy in proxies], timeout=timeout))
        told: Literal["done", "unconfirmed"] = "done"
        try:
            await call(unlucky, key)
        except EtcdUnconfirmed:
            told = "unconfirmed"
        await proxies[0].release()
        sent = [seen for proxy in proxies for seen in proxy.seen if seen.method == method]
        if method == "DELETE" or method == "PUT" or method == "POST":
            assert len({(seen.target, seen.body) for seen in sent}) == 1
        return End(told, len(sent), await index(client) - key.etcd_index)


async def prepare(client: Client) -> EtcdResult:
    """The key that the verbs are about, as a result of now, and what else they need."""
    if await client.contains("/verbs"):
        await client.delete("/verbs", recursive=True)
    await client.write("/verbs/empty", dir=True)
    await client.write("/verbs/queue", dir=True)
    await client.write("/verbs/key", "old", 60)
    return await client.read("/verbs/key", quorum=True)


async def index(client: Client) -> int:
    """Where the store stands; every write that happens moves it by one."""
    return (await client.read("/", quorum=True)).etcd_index


def test_the_page_tells_of_each_verb_what_becomes_of_it() -> None:
    """Its rows hold the verbs, and what they come to in the three cases."""
    words = {SENT_AGAIN: "done", FOUND: "done", DID_NOT_HAPPEN: "unconfirmed", HAPPENED: "unconfirmed"}
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text().splitlines()
        if re.match(r"\| (read|wait|write|by index|unique|unique by index) \|", line)
    ]
    told = {kind: (set(re.findall(r"`([^`]+)`", verbs)) - {"unique=True"}, ends) for kind, verbs, *ends in rows}
    assert told == {kind: (set(VERBS[kind]), [words[end] for end in ends.values()]) for kind, ends in KINDS.items()}
