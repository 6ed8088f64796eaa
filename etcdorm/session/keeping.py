"""Putting off the expiry of a model's record: once, or for the time of a block."""

from __future__ import annotations

from types import TracebackType

from etcdorm.errors import LeaseLapsedError, UsageError
from etcdorm.mapping import EtcdModel, Place, place_of, schema_of, set_place
from etcdorm.recipes import Keeper, KeptLease, Lease, Moment
from etcdorm.session import saving
from etcdorm.session.defaults import Defaults
from etcdorm.store import KEEP, Record, Store


def ttl_for(model: EtcdModel, ttl: int | None, defaults: Defaults) -> int:
    """How long a record shall live on, as its caller, its class or its session says.

    Raises: UsageError when none does.
    """
    if ttl is None:
        ttl = defaults.ttl_of(schema_of(type(model)).ttl, KEEP)
    if ttl is None:
        name = type(model).__name__
        raise UsageError(f"how long shall this {name} live on? Its class has no ttl: name one here, in seconds")
    return ttl


async def refresh(store: Store, model: EtcdModel, ttl: int) -> None:
    """As ``Session.refresh``. What another call notes on the object meanwhile, a save for one, is newer and stays."""
    place = await saving.known_place(store, model, "refreshed")
    try:
        record = await store.touch(place.record, ttl=ttl)
    except LeaseLapsedError:
        if place_of(model) is place:
            set_place(model, None)
        raise
    if place_of(model) is place:
        set_place(model, Place.of(record))


class Refresher:
    """Puts the expiry of a model's record off, again and again, while others may save the model or load it anew."""

    def __init__(self, store: Store, model: EtcdModel, record: Record, ttl: int) -> None:
        self._store = store
        self._model = model
        self._ttl = ttl
        self.record = record
        """As it is known to be."""

    async def __call__(self) -> None:
        """Raises as ``Session.refresh``."""
        place = place_of(self._model)
        if place is not None and place.path == str(self.record.path):
            self.record = place.record
        try:
            self.record = await self._store.touch(self.record, ttl=self._ttl)
        except LeaseLapsedError:
            if place_of(self._model) is place:
                set_place(self._model, None)
            raise
        if place is not None and place_of(self._model) is place:
            set_place(self._model, Place.of(self.record))


class KeepAlive:
    """The block of ``Session.keepalive``."""

    def __init__(self, store: Store, keeper: Keeper, model: EtcdModel, ttl: int) -> None:
        self._store = store
        self._keeper = keeper
        self._model = model
        self._ttl = ttl
        self._lease: KeptLease | None = None

    async def __aenter__(self) -> Lease:
        place = await saving.known_place(self._store, self._model, "kept alive")
        refresher = Refresher(self._store, self._model, place.record, self._ttl)
        sent = Moment.now()
        await refresher()
        self._lease = self._keeper.keep(place.record.where, self._ttl, refresher, sent=sent)
        return self._lease

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._lease is not None
        valid = self._lease.valid
        await self._keeper.stop(self._lease)
        if not valid and error is None:
            raise LeaseLapsedError(
                f"{self._lease.name}: the record could not be kept alive until the end of its block "
                f"({self._lease.reason}); save the object again, with ttl=, if it shall exist"
            )
