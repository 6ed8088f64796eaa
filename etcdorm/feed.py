"""A store's events as typed changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Generic, Self, TypeVar

from etcdorm import hooks
from etcdorm.errors import DecodeError
from etcdorm.mapping import EtcdModel, Schema
from etcdorm.mapping.change import Change, Created, Deleted, Expired, Invalid, Updated
from etcdorm.mapping.records import is_ours, to_model, upgraded
from etcdorm.path import Path
from etcdorm.store import Event, Record

M = TypeVar("M", bound=EtcdModel)


class Feed(Generic[M]):
    """An async context manager and iterator of changes; see ``Session.watch``.

    A cancelled ``anext`` loses nothing. What a hook raises comes out of ``anext``; the next one goes on behind it.
    """

    def __init__(
        self,
        watch: AbstractAsyncContextManager[AsyncIterator[Event]],
        schema: Schema[M],
        prefix: Path,
        *,
        namespace: str,
    ) -> None:
        self._watch = watch
        self._schema = schema
        self._prefix = prefix
        self._namespace = namespace
        self._next: Change[M] | None = None
        self._events: AsyncIterator[Event] | None = None

    async def __aenter__(self) -> Self:
        await hooks.before_load(self._schema, self._prefix, namespace=self._namespace)
        self._events = await self._watch.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._watch.__aexit__(kind, error, traceback)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change[M]:
        if self._events is None:
            raise RuntimeError("a watch is entered first: async with session.watch(...) as changes")
        while self._next is None:
            self._next = self._typed(await anext(self._events))
        change, self._next = self._next, None
        try:
            await _loaded(change)
        except asyncio.CancelledError:
            self._next = change
            raise
        return change

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
            return Updated(path, old, new, event.gap)
        return Created(path, new, event.initial, event.gap)

    def _owned(self, record: Record | None) -> dict[str, str]:
        """What tells whether the model is another one: its fields, as of this version."""
        if record is None:
            return {}
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
