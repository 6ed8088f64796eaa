"""A record that exists as long as a block lasts: saved, kept alive, saved anew when it vanishes, deleted at the end."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from types import TracebackType
from typing import Final, Generic, Literal, TypeVar, get_args

from etcdorm.errors import (
    AlreadyExistsError,
    ConflictError,
    EtcdormError,
    HookError,
    LeaseLapsedError,
    NotFoundError,
    UnconfirmedError,
    UsageError,
)
from etcdorm.finish import end, to_end, whole
from etcdorm.mapping import EtcdModel, Place, changed_keys, place_of, schema_of, set_place
from etcdorm.path import Path
from etcdorm.recipes import Keeper, KeptLease, Moment
from etcdorm.session import fencing, saving
from etcdorm.session.backoff import Backoff
from etcdorm.session.defaults import Defaults
from etcdorm.session.keeping import Refresher
from etcdorm.store import Collection, Record, StaleRecord, Store

M = TypeVar("M", bound=EtcdModel)

_log = logging.getLogger("etcdorm.lease")

OnExists = Literal["wait", "replace", "raise"]
"""What registering does when there is a record already: wait until its TTL runs out, delete it, or refuse."""

State = Literal["registered", "lost", "taken"]
"""The record is there; it may not be, which is seen to; it is gone, and somebody else's is in its place."""

_LATE = 1.0
"""Seconds that etcd may take to remove what has expired, and to tell."""
_RETRY, _LONGEST_RETRY = 0.1, 2.0
"""Of the TTL, and in seconds: how long to wait before trying to register anew again."""


class Registration(Generic[M]):
    """What is registered for the time of a block, and how it stands."""

    def __init__(self, model: M, ttl: int) -> None:
        self.model: Final[M] = model
        self.ttl: Final[int] = ttl
        self.state: State = "registered"
        self.renewals: int = 0
        """How often it was registered anew because the record had vanished."""
        self._lease: KeptLease | None = None

    @property
    def valid(self) -> bool:
        """Whether the record exists for certain; right also when the event loop has stood still."""
        return self._lease is not None and self._lease.valid

    @property
    def left(self) -> float:
        """Seconds for which it exists for certain, if etcd should not answer from now on."""
        return 0.0 if self._lease is None else self._lease.left


OnChange = Callable[[Registration[M]], object]


class Registering(Generic[M]):
    """The block of ``Session.register``. There is a task only while what was lost is got back."""

    def __init__(
        self,
        store: Store,
        keeper: Keeper,
        model: M,
        *,
        ttl: int,
        on_exists: OnExists,
        on_change: OnChange[M] | None,
        defaults: Defaults,
        timeout: float,
    ) -> None:
        if on_exists not in get_args(OnExists):
            raise UsageError(f"on_exists must be one of {get_args(OnExists)}, not {on_exists!r}")
        self._store = store
        self._keeper = keeper
        self._model = model
        self._path: Path = schema_of(type(model)).path(model)
        self._where = f"{store.namespace}{self._path}"
        self._on_exists = on_exists
        self._on_change = on_change
        self._defaults = defaults
        self._timeout = timeout
        self._registration = Registration(model, ttl)
        self._recovery: asyncio.Task[None] | None = None
        self._unsure = False
        """A save of this one was sent, and its answer was lost."""

    async def __aenter__(self) -> Registration[M]:
        was = place_of(self._model)
        set_place(self._model, None)
        backoff = Backoff(self._timeout)
        try:
            while True:
                try:
                    await whole(self._save())
                    return self._registration
                except AlreadyExistsError:
                    if self._on_exists == "raise":
                        raise
                    if self._on_exists == "wait":
                        await self._wait_until_gone()
                    elif not await self._replace() and not await backoff.pause():
                        raise
        except BaseException:
            await to_end(self._deregister())
            if self._registration._lease is None and not self._unsure:
                set_place(self._model, was)  # nothing has become of it
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await to_end(self._deregister())

    async def _save(self) -> None:
        """Make the record, and keep it alive from then on."""
        sent = Moment.now()
        try:
            await saving.save(
                self._store,
                self._model,
                ttl=self._registration.ttl,
                on_conflict="raise",
                defaults=self._defaults,
                timeout=self._timeout,
            )
        except UnconfirmedError:
            self._unsure = True
            raise
        finally:
            if place_of(self._model) is not None:  # also when a hook behind it has failed
                self._keep(sent)

    def _keep(self, sent: Moment) -> None:
        place = place_of(self._model)
        assert place is not None
        ttl = self._registration.ttl
        self._unsure = False
        self._refresher = Refresher(self._store, self._model, place.record, ttl)
        self._registration._lease = lease = self._keeper.keep(self._where, ttl, self._refresher, sent=sent)
        lease.when_lost(self._recover_soon)

    # -- a record that is there already -------------------------------------------------------------------------------

    async def _wait_until_gone(self) -> None:
        """Wait until the record's TTL runs out.

        Raises: AlreadyExistsError when it has none, or somebody keeps it alive.
        """
        where = Collection(self._path, len(self._path.segments), lambda path: path == self._path)
        async with self._store.watch(where) as events:
            record = await self._store.read(self._path, fresh=True)
            if record is None:
                return
            if record.ttl is None:
                raise AlreadyExistsError(f"{self._where}: there is a record already, without a TTL that could run out")
            try:
                async with asyncio.timeout(record.ttl + _LATE):
                    async for event in events:
                        if event.new is None:
                            return
            except TimeoutError:
                raise AlreadyExistsError(
                    f"{self._where}: there is a record already, and somebody keeps it alive: it is still there after "
                    f'its TTL of {record.ttl} s; register under another key, or with on_exists="replace"'
                ) from None

    async def _replace(self) -> bool:
        """Delete the record that is there; whoever keeps it alive is told at his next request."""
        record = await self._store.read(self._path, fresh=True)
        if record is None:
            return True
        token = await fencing.token_for(self._store, self._path)
        try:
            await self._store.remove(record, owns=schema_of(type(self._model)).owns, token=token)
        except LeaseLapsedError:
            return True
        except StaleRecord as stale:
            fencing.check(stale, self._where, token)
            return False
        return True

    # -- a record that has vanished -----------------------------------------------------------------------------------

    def _recover_soon(self) -> None:
        if not self._keeper.closed:
            self._change("lost")
            self._recovery = asyncio.create_task(self._recover(), name=f"register {self._where} anew")

    async def _recover(self) -> None:
        lease = self._registration._lease
        if lease is not None:
            await self._keeper.stop(lease)
        while True:
            try:
                if await self._try_to_recover():
                    return
            except EtcdormError as error:
                _log.debug("%s could not be registered anew, trying again: %s", self._where, error)
            except Exception:  # of a hook
                _log.exception("%s could not be registered anew, trying again", self._where)
            longest = min(self._registration.ttl * _RETRY, _LONGEST_RETRY)
            await asyncio.sleep(random.uniform(0.5, 1) * longest)

    async def _try_to_recover(self) -> bool:
        if place_of(self._model) is not None:  # it may be there still, or a save of the block's own has made it anew
            sent = Moment.now()
            try:
                await self._refresher()
            except LeaseLapsedError:
                pass
            else:
                self._keep(sent)
                self._change("registered")
                return True
        try:
            try:
                await whole(self._save())
            except HookError as error:
                _log.warning("%s", error)
        except AlreadyExistsError:
            if not await self._is_own():
                self._change("taken")
                return False
            return await self._try_to_recover()
        self._registration.renewals += 1
        _log.warning("%s had vanished, and was registered anew", self._where)
        self._change("registered")
        return True

    async def _is_own(self) -> bool:
        """Whether the record that is there is what a save of this one, whose answer was lost, would have made."""
        if place_of(self._model) is not None:
            return True
        record = await self._store.read(self._path, fresh=True) if self._unsure else None
        if record is None or changed_keys(schema_of(type(self._model)), self._model, record):
            return False
        set_place(self._model, Place.of(record))
        self._unsure = False
        return True

    def _change(self, state: State) -> None:
        """Note how it stands, and tell when that is news."""
        registration = self._registration
        if state == registration.state:
            return
        registration.state = state
        if state == "taken":
            _log.warning("%s had vanished, and somebody else has taken its place; trying on", self._where)
        if self._on_change is not None:
            try:
                self._on_change(registration)
            except Exception:
                _log.exception("%s: on_change failed", self._where)

    # -- the end ------------------------------------------------------------------------------------------------------

    async def _deregister(self) -> None:
        if self._recovery is not None:
            await end(self._recovery)
        lease = self._registration._lease
        if lease is None:
            return
        await self._keeper.stop(lease)
        try:
            async with asyncio.timeout(self._registration.ttl):
                while place_of(self._model) is not None:
                    await self._delete()
        except (EtcdormError, TimeoutError) as error:
            if isinstance(error, HookError):
                raise
            reason = str(error) or "no answer in time"
            _log.warning("%s could not be deregistered, its TTL will do it: %s", self._where, reason)

    async def _delete(self) -> None:
        place = place_of(self._model)
        try:
            await saving.delete(self._store, self._model)
        except NotFoundError:
            set_place(self._model, None)
        except ConflictError:
            # Others may change a registration, and so it is deleted as it is now; but not one that is another's.
            record: Record | None = await self._store.read(self._path, fresh=True)
            own = record is not None and place is not None and record.created == place.record.created
            set_place(self._model, Place.of(record) if own and record is not None else None)
