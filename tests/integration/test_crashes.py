"""A writer is killed (SIGKILL) at every write of every kind of save; whoever comes next finds all of it or nothing."""

from __future__ import annotations

import signal

import pytest

from etcdorm import Session
from etcdorm.embedded import EtcdServer
from etcdorm.v2 import Client
from etcdorm.v2.store import V2Store
from tests.support.crashing import Thing, crash
from tests.support.forked import exit_code_of
from tests.support.lossy import Fate

Values = dict[str, object] | None
OLD: Values = {"a": "old", "b": "old", "labels": {"j": "old"}}
NEW: dict[str, Values] = {
    "create": {"a": "new", "b": "new", "labels": {"k": "new"}},
    "change": {"a": "new", "b": None, "labels": {"k": "new"}},
    "lease": {"a": "new", "b": "old", "labels": {"j": "old"}},
    "delete": None,
}


@pytest.mark.parametrize("verb", NEW)
@pytest.mark.parametrize("fate", ["killed before", "killed after"])
async def test_a_writer_that_is_killed_leaves_all_of_its_save_or_nothing(
    etcd: EtcdServer, verb: str, fate: Fate
) -> None:
    before = None if verb == "create" else OLD
    seen: list[Values] = []
    killed = True
    async with Session(V2Store(Client(etcd.url))) as session:
        while killed:
            name = f"x{len(seen)}"
            if before is not None:
                await session.save(Thing(name=name, **before))  # type: ignore[arg-type]  # the values of its fields
            killed = await _run(etcd.url, verb, name, len(seen), fate)
            found = await session.get(Thing, name)
            seen.append(None if found is None else found.model_dump(exclude={"name"}))
            assert seen[-1] in (before, NEW[verb]), f"killed at write {len(seen) - 1}"
            await _next_save(session, name, found)
            await _check_plain_keys(etcd, name)
    # A death before the commit leaves what was there; from the commit on, all of the save is there.
    assert seen == sorted(seen, key=lambda values: values == NEW[verb])
    assert seen[-1] == NEW[verb]
    assert len(seen) > 4


async def _run(url: str, verb: str, name: str, which: int, fate: Fate) -> bool:
    """Whether the writer was killed: it is not when it had fewer writes than ``which``."""
    code = await exit_code_of(crash, url, verb, name, which, fate)
    assert code in (0, -signal.SIGKILL)
    return code != 0


async def _next_save(session: Session, name: str, found: Thing | None) -> None:
    if found is None:
        await session.save(Thing(name=name, a="next", labels={"n": "next"}))
    else:
        found.a, found.b, found.labels = "next", None, {"n": "next"}
        await session.save(found)


async def _check_plain_keys(etcd: EtcdServer, name: str) -> None:
    """The plain keys say what the next writer saved; nothing of the dead one's is left to come up."""
    async with Client(etcd.url) as client:
        result = await client.read(f"/things/{name}", recursive=True)
    keys = {leaf.key.removeprefix(f"/things/{name}/"): leaf for leaf in result.leaves}
    plain = {key: leaf.value for key, leaf in keys.items() if not key.startswith("@") and leaf.expiration is None}
    assert plain == {"a": "next", "labels/n": "next"}
    assert f'"id":"{keys["@applied"].value}"' in (keys["@commit"].value or "")
