"""The types of locks, leases, registrations and elections; checked by mypy and pyright, and never run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Literal, assert_type

from etcdorm import EtcdModel, Held, Holder, KeyName, Leadership, Lease, LockTimeoutError, Registration, Session
from etcdorm.path import Path
from etcdorm.recipes.lease import Beat, Moment
from etcdorm.store import Store


class Leader(EtcdModel, path="/leaders/{service}"):
    service: str
    host: str


async def locks(session: Session) -> None:
    async with session.lock((Leader, "web"), ttl=5, timeout=1.0, blocking=False) as held:
        assert_type(held, Held)
    async with session.lock((Leader, ("web",))):
        pass
    async with session.lock((str, "web")):  # type: ignore[arg-type]
        pass
    assert_type(await session.lock_holder("job"), Holder | None)
    assert_type(session.store, Store)


def a_lock_in_full(held: Held) -> None:
    assert_type(held.valid, bool)
    assert_type(held.left, float)
    assert_type(held.reason, str)
    assert_type(held.lease, Lease)
    assert_type(held.path, Path)
    assert_type(held.place, Path)
    assert_type(held.record, Path | None)
    assert_type(held.id, str)
    assert_type(held.store, Store)
    assert_type(held.origin, str)
    assert_type(held.released, bool)
    assert_type(held.task, asyncio.Task[object] | None)


def a_holder(holder: Holder, error: LockTimeoutError) -> None:
    assert_type(holder.token, int)
    assert_type(holder.host, str)
    assert_type(holder.pid, int | None)
    assert_type(holder.since, datetime | None)
    assert_type(error.holder, Holder | None)


def a_key_name(name: KeyName) -> None:
    assert_type(name.name, str)


async def keeping(session: Session, leader: Leader) -> None:
    async with session.keepalive(leader, ttl=30) as lease:
        assert_type(lease, Lease)
    async with session.keepalive(leader, ttl="30"):  # type: ignore[arg-type]
        pass


def a_lease(lease: Lease) -> None:
    assert_type(lease.name, str)
    assert_type(lease.ttl, int)
    assert_type(lease.lost, asyncio.Event)
    assert_type(lease.reason, str)
    assert_type(lease.valid, bool)
    assert_type(lease.left, float)
    assert_type(lease.over_at, float)
    assert_type(lease.beat, Beat)
    assert_type(lease.renewed_at, Moment)
    assert_type(lease.renewed(Moment.now()), None)
    assert_type(lease.let_go(), None)
    assert_type(lease.lose("why"), None)
    assert_type(lease.when_lost(lease.let_go), Callable[[], None])


async def registering(session: Session, leader: Leader) -> None:
    def tell(registration: Registration[Leader]) -> None:
        print(registration.model.host)

    async with session.register(leader, ttl=10, on_exists="replace", on_change=tell) as registration:
        assert_type(registration, Registration[Leader])
    async with session.register(leader, on_exists="never"):  # type: ignore[arg-type]
        pass


def a_registration(registration: Registration[Leader]) -> None:
    assert_type(registration.model, Leader)
    assert_type(registration.ttl, int)
    assert_type(registration.state, Literal["registered", "lost", "taken"])
    assert_type(registration.renewals, int)
    assert_type(registration.valid, bool)
    assert_type(registration.left, float)


async def elections(session: Session, leader: Leader) -> None:
    async with session.campaign(leader, ttl=10, timeout=5.0, blocking=True) as leadership:
        assert_type(leadership, Leadership[Leader])
    assert_type(await session.leader(Leader, "web"), Leader | None)
    assert_type(await session.leader(Leader, service="web"), Leader | None)


def an_office(leadership: Leadership[Leader]) -> None:
    assert_type(leadership.model, Leader)
    assert_type(leadership.token, int)
    assert_type(leadership.lost, asyncio.Event)
    assert_type(leadership.valid, bool)
    assert_type(leadership.left, float)
    leadership.token = 7  # type: ignore[misc]
