"""An election: who holds the lock of a record writes it, and keeps both alive."""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Final, Generic, TypeVar

from etcdorm.errors import EtcdormError, HookError
from etcdorm.finish import whole
from etcdorm.mapping import EtcdModel, Place, place_of, schema_of, set_place
from etcdorm.path import Path
from etcdorm.recipes import Claim, Held, Keeper, KeptLease, Lock, Moment
from etcdorm.session import fencing, saving
from etcdorm.session.defaults import Defaults
from etcdorm.session.keeping import Refresher
from etcdorm.store import Store

M = TypeVar("M", bound=EtcdModel)

_log = logging.getLogger("etcdorm.lock")


class Leadership(Generic[M]):
    """The office of a leader, while it is held.

    ``token`` grows with every leader. ``lost`` is set, by this machine's monotonic clock, before anybody else can be
    elected; the block is cancelled then.
    """

    def __init__(self, model: M, held: Held) -> None:
        self.model: Final[M] = model
        """The leader's own record. It can be changed and saved in the block."""
        self._held = held

    @property
    def token(self) -> int:
        return self._held.token

    @property
    def lost(self) -> asyncio.Event:
        return self._held.lost

    @property
    def valid(self) -> bool:
        """Whether it is held for certain; right also when the event loop has stood still, and ``lost`` is late."""
        return self._held.valid

    @property
    def left(self) -> float:
        """Seconds for which it is held for certain, if etcd should not answer from now on."""
        return self._held.left


class Campaign(Generic[M]):
    """The block of ``Session.campaign``."""

    def __init__(
        self,
        store: Store,
        keeper: Keeper,
        model: M,
        *,
        ttl: int,
        timeout: float | None,
        blocking: bool,
        defaults: Defaults,
        save_timeout: float,
    ) -> None:
        self._store = store
        self._keeper = keeper
        self._model = model
        self._path: Path = schema_of(type(model)).path(model)
        self._where = f"{store.namespace}{self._path}"
        self._ttl = ttl
        self._defaults = defaults
        self._save_timeout = save_timeout
        self._lease: KeptLease | None = None
        self._lock = Lock(
            store,
            keeper,
            fencing.lock_path(self._path),
            ttl=ttl,
            timeout=timeout,
            blocking=blocking,
            prepare=self._take_office,
            finish=self._resign,
        )

    async def __aenter__(self) -> Leadership[M]:
        return Leadership(self._model, await self._lock.__aenter__())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._lock.__aexit__(kind, error, traceback)

    async def _take_office(self, held: Claim) -> None:
        """Write the record, in the place of a former leader's, and let the loss of either be that of both."""
        set_place(self._model, None)
        await fencing.fence(self._store, schema_of(type(self._model)), self._path, None, held)
        await whole(self._save(held))

    async def _save(self, held: Claim) -> None:
        sent = Moment.now()
        try:
            await saving.save(
                self._store,
                self._model,
                ttl=self._ttl,
                on_conflict="overwrite",
                defaults=self._defaults,
                timeout=self._save_timeout,
            )
        finally:
            place = place_of(self._model)
            if place is not None:  # also when a hook behind it has failed
                self._keep(held, place, sent)

    def _keep(self, held: Claim, place: Place, sent: Moment) -> None:
        refresher = Refresher(self._store, self._model, place.record, self._ttl)
        self._lease = lease = self._keeper.keep(self._where, self._ttl, refresher, sent=sent)
        lease.when_lost(lambda: held.lease.lose(f"the leader's record {self._where} is lost: {lease.reason}"))

    async def _resign(self, held: Claim) -> None:
        """Delete the record, so that nobody takes this one for the leader any longer."""
        if self._lease is None:
            return
        await self._keeper.stop(self._lease)
        if not held.valid or place_of(self._model) is None:
            return  # if it is there still, its TTL will do it; what is there now may be the next leader's
        try:
            async with asyncio.timeout(held.left):
                await saving.delete(self._store, self._model)
        except HookError:
            raise
        except (EtcdormError, TimeoutError) as error:
            reason = str(error) or "no answer in time"
            _log.warning("%s could not be deleted on resigning, its TTL will do it: %s", self._where, reason)
