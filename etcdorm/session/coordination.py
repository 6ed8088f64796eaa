"""What a session does for programs that work together: locks, leases, registration, election."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from etcdorm.errors import Holder, UsageError
from etcdorm.mapping import EtcdModel, schema_of
from etcdorm.mapping.frozen import check_free
from etcdorm.path import Path
from etcdorm.recipes import Claim, Held, Keeper, Lease, Lock, holder
from etcdorm.session import fencing, keeping, loading
from etcdorm.session.defaults import Defaults
from etcdorm.session.election import Campaign, Leadership
from etcdorm.session.keeping import KeepAlive
from etcdorm.session.registration import OnChange, OnExists, Registering, Registration
from etcdorm.store import KEEP, Store

M = TypeVar("M", bound=EtcdModel)

Target = EtcdModel | tuple[type[EtcdModel], object] | str
"""What a lock is for: the record of an object; that of a class and a key, which is one value or a tuple of them; or a
name of any kind."""

_TTL = 10
"""Seconds, where neither the caller nor the class nor the session says another."""


class Coordination:
    """A part of ``Session``."""

    _store: Store
    _keeper: Keeper
    _defaults: Defaults
    _timeout: float

    def lock(
        self, target: Target, *, ttl: int = _TTL, timeout: float | None = None, blocking: bool = True
    ) -> AbstractAsyncContextManager[Held]:
        """Hold the lock of a record, or of a name, for the time of a block: ``async with session.lock(node) as held``.

        ``target`` is an object, ``(Node, key)``, or a name. First come, first served; whoever gives up waiting leaves
        nothing behind. It is kept alive, and released on every way out. When it can't be kept, ``held.lost`` is set and
        the block is cancelled, before its TTL can have run out and somebody else can have it.
        The lock of a record also moves the record's version, so that a save by whoever loaded it before is refused; an
        object that is given goes on if it was current. Load what you work on within the block. A save or delete of the
        record, in the block or in a task that was started there, is refused by etcd when somebody else has had the lock
        since, even if the record was loaded anew.
        Units: ``ttl`` in whole seconds, the longest that a dead holder is waited for; ``timeout`` in seconds to wait;
            with ``blocking=False`` not at all.
        Cancel: nothing is left in the queue.
        Raises: LockTimeoutError when the lock was not free in time, which tells who holds it; LockLostError at the end
            of the block when it could not be kept, and from a save that is refused; UsageError when this task holds it
            already.
        """
        path, prepare = self._lockable(target)
        return Lock(self._store, self._keeper, path, ttl=ttl, timeout=timeout, blocking=blocking, prepare=prepare)

    async def lock_holder(self, target: Target) -> Holder | None:
        """Who holds a lock now, and since when; None when nobody does."""
        return await holder(self._store, self._lockable(target)[0])

    async def refresh(self, model: M, *, ttl: int | None = None) -> M:
        """Put off the expiry of a whole model to ``ttl`` seconds from now, in one request that wakes no watcher.

        Without ``ttl`` it is that of the class or session. It neither writes fields nor makes anybody's save conflict.
        Raises: LeaseLapsedError when it has expired already (saving the object makes it anew, with ``ttl=``);
            UsageError for a model without a TTL.
        """
        schema_of(type(model))  # which tells what is no model at all
        check_free(model, "refreshed")
        await keeping.refresh(self._store, model, keeping.ttl_for(model, ttl, self._defaults))
        return model

    def keepalive(self, model: EtcdModel, *, ttl: int | None = None) -> AbstractAsyncContextManager[Lease]:
        """Keep the record of an object alive for the time of a block: ``async with session.keepalive(node) as lease``.

        Its expiry is put off to ``ttl`` seconds at once, and then three times as often as needed. All that a session
        keeps alive shares one schedule. The object may be saved meanwhile. When the record can't be kept,
        ``lease.lost`` is set, before its TTL can have run out; the block goes on.
        Without ``ttl`` it is that of the class or session. At the end of the block the record is left to its TTL.
        Raises: LeaseLapsedError when it has expired already, and at the end of the block when it could not be kept;
            UsageError for an object without a record, or a record without a TTL.
        """
        schema_of(type(model))
        return KeepAlive(self._store, self._keeper, model, keeping.ttl_for(model, ttl, self._defaults))

    def register(
        self,
        model: M,
        *,
        ttl: int | None = None,
        on_exists: OnExists = "wait",
        on_change: OnChange[M] | None = None,
    ) -> AbstractAsyncContextManager[Registration[M]]:
        """Let the record of an object exist for the time of a block: ``async with session.register(node, ttl=10)``.

        It is saved as a new one, kept alive as by ``keepalive``, and deleted at the end. When there is a record
        already, which may be of this program's former life, it is waited for until its TTL runs out;
        ``on_exists="replace"`` deletes it, and ``"raise"`` refuses. When the record vanishes, after a long pause or
        because etcd was restored, the object is saved anew as it is then, unless somebody else has taken its place;
        then it goes on trying, and never overwrites. ``on_change(registration)`` is called when ``registration.state``
        changes: ``"registered"``, ``"lost"`` or ``"taken"``; ``registration.renewals`` counts how often it was saved
        anew, and the logger ``etcdorm.lease`` warns of it. The object may be changed and saved in the block.
        Units: ``ttl`` in whole seconds; without it that of the class or session, or 10.
        Cancel: the record is deleted.
        Raises: AlreadyExistsError when a record is there and stays; as ``save``. Nothing at the end of the block.
        """
        return Registering(
            self._store,
            self._keeper,
            model,
            ttl=self._ttl_of(model, ttl),
            on_exists=on_exists,
            on_change=on_change,
            defaults=self._defaults,
            timeout=self._timeout,
        )

    def campaign(
        self, model: M, *, ttl: int | None = None, timeout: float | None = None, blocking: bool = True
    ) -> AbstractAsyncContextManager[Leadership[M]]:
        """Wait until this one is elected, and lead for the time of a block: ``async with session.campaign(leader)``.

        Candidates have objects with the same key, and are elected in the order in which they came. The block begins
        when the record says what this object does; it has the TTL, and is deleted at the end. The office is the lock of
        the record: ``lost``, the cancelled block, the token, and the refused saves of a former leader are as with
        ``lock``. It is also lost when the record vanishes. Others see the leader by ``leader`` and ``watch``.
        Units: as ``lock``; without ``ttl`` it is that of the class or session, or 10.
        Raises: as ``lock`` and ``save``.
        """
        return Campaign(
            self._store,
            self._keeper,
            model,
            ttl=self._ttl_of(model, ttl),
            timeout=timeout,
            blocking=blocking,
            defaults=self._defaults,
            save_timeout=self._timeout,
        )

    async def leader(self, model: type[M], /, *key: object, **fields: object) -> M | None:
        """The record of the leader with this key, in the order of its path or by name; None when there is none."""
        schema = schema_of(model)
        return await loading.get(self._store, schema, schema.path_from(key, fields), fresh=True)

    def _ttl_of(self, model: EtcdModel, ttl: int | None) -> int:
        return ttl or self._defaults.ttl_of(schema_of(type(model)).ttl, KEEP) or _TTL

    def _lockable(self, target: Target) -> tuple[Path, Callable[[Claim], Awaitable[None]] | None]:
        """Where a lock lies, and what is to be done when it is had."""
        if isinstance(target, str):
            return fencing.lock_path(target), None
        if isinstance(target, tuple):
            if len(target) != 2:
                raise UsageError(
                    f"a lock of a record is for (class, key), and not for a tuple of {len(target)}; a key of several "
                    'fields is a tuple itself, as in (Node, ("eu", "n1"))'
                )
            kind, key = target
            model = None
            schema = schema_of(kind)
            path = schema.path_from(key if isinstance(key, tuple) else (key,), {})
        else:
            model = target
            schema = schema_of(type(target))
            path = schema.path(target)

        async def prepare(held: Claim) -> None:
            await fencing.fence(self._store, schema, path, model, held)

        return fencing.lock_path(path), prepare
