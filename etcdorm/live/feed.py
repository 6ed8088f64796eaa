"""A feed: what happens to the records of a model class, as typed changes."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Generic, Literal, Self, TypeVar, get_args

from etcdorm import hooks
from etcdorm.errors import DecodeError, UsageError
from etcdorm.live.hub import Hub, Hubs
from etcdorm.live.inbox import Changes
from etcdorm.mapping import EtcdModel, Schema
from etcdorm.mapping.change import Change, Created, Deleted, Expired, Invalid, Updated
from etcdorm.mapping.merge import edited
from etcdorm.mapping.records import is_ours, to_model, upgraded
from etcdorm.store import Collection, Event, Record

M = TypeVar("M", bound=EtcdModel)

OnBehind = Literal["collapse", "raise"]
"""What becomes of the changes that wait for a consumer who is too slow: those of one record are put together, or the
feed ends with FellBehindError behind the last one that came in time."""

_TURN = 16
"""Changes after which other tasks may run: a consumer who never waits must not keep what brings them from running."""


class Feed(Generic[M]):
    """An async context manager and iterator of changes; see ``Session.watch``.

    A cancelled ``anext`` loses nothing. What a hook raises comes out of ``anext``; the next one goes on behind it. So
    it is when the store refuses to go on: the next ``anext`` waits until it does.
    """

    def __init__(
        self, hubs: Hubs, schema: Schema[M], collection: Collection, *, buffer: int, on_behind: OnBehind
    ) -> None:
        if isinstance(buffer, bool) or not isinstance(buffer, int) or buffer < 1:
            raise UsageError(f"buffer must be a whole number of changes from 1 on, not {buffer!r}")
        if on_behind not in get_args(OnBehind):
            raise UsageError(f"on_behind must be one of {get_args(OnBehind)}, not {on_behind!r}")
        self._hubs = hubs
        self._schema = schema
        self._changes = Changes(collection, buffer, strict=on_behind == "raise", namespace=hubs.namespace)
        self._hub: Hub | None = None
        self._entered = False
        self._next: Change[M] | None = None
        self._taken = 0

    @property
    def fell_behind(self) -> int:
        """How often the consumer was too slow, so that changes were put together."""
        return self._changes.fell_behind

    async def __aenter__(self) -> Self:
        if self._entered:
            raise UsageError("this feed was entered before; make another one with session.watch(...)")
        self._entered = True
        await hooks.before_load(self._schema, self._changes.collection.prefix, namespace=self._hubs.namespace)
        self._hub = await self._hubs.join(self._changes)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        hub, self._hub = self._hub, None
        if hub is not None:
            await self._hubs.leave(hub, self._changes)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change[M]:
        if not self._entered:
            raise UsageError("a watch is entered first: async with session.watch(...) as changes")
        self._taken += 1
        if not self._taken % _TURN:
            await asyncio.sleep(0)
        while self._next is None:
            if self._hub is None:
                raise StopAsyncIteration
            self._next = self._typed(await self._event())
        change, self._next = self._next, None
        try:
            await _loaded(change)
        except asyncio.CancelledError:
            self._next = change
            raise
        return change

    async def _event(self) -> Event:
        try:
            return await self._changes.next()
        except StopAsyncIteration:
            if self._hub is None:
                raise  # the block was left
            raise UsageError(
                f"watch of {self._changes.collection.prefix}: this session was closed, and tells of no changes any more"
            ) from None

    def _typed(self, event: Event) -> Change[M] | None:
        path = str(event.path)
        was_there = event.old is not None and is_ours(self._schema, event.old)
        is_there = event.new is not None and is_ours(self._schema, event.new)
        if was_there and is_there and self._owned(event.old) == self._owned(event.new):
            return None  # a key that the model does not know: another tool's, or of a record that lies within this one
        try:
            old = to_model(self._schema, event.old)
        except DecodeError:
            old = None
        try:
            new = to_model(self._schema, event.new)
        except DecodeError as error:
            return Invalid(path, old, error, event.gap)
        if new is None:
            if not was_there:
                return None
            return Expired(path, old, event.gap) if event.expired else Deleted(path, old, event.gap)
        if was_there:
            return Updated(path, old, new, event.gap, () if old is None else edited(old, new))
        return Created(path, new, event.initial, event.gap)

    def _owned(self, record: Record | None) -> dict[str, str]:
        """What tells whether the model is another one: its fields, as of this version."""
        if record is None:
            return {}
        if record.error is not None:
            return dict(record.fields)
        try:
            fields = upgraded(self._schema, record)
        except DecodeError:
            return dict(record.fields)
        return {name: text for name, text in fields.items() if self._schema.owns(name)}


async def _loaded(change: Change[M]) -> None:
    """Call the hooks of the models in it."""
    if not isinstance(change, Created) and change.old is not None:
        await hooks.after_load(change.old)
    if isinstance(change, Created | Updated):
        await hooks.after_load(change.new)
