"""Appended records: written under keys in the server's order, read page by page, followed, and trimmed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from enum import Enum
from types import TracebackType
from typing import Final, Generic, Literal, Self, TypeVar

from etcdorm import hooks
from etcdorm.errors import DecodeError, EtcdormError, UnconfirmedError, UsageError
from etcdorm.mapping import EtcdModel, Place, Schema, schema_of, set_place
from etcdorm.mapping.frozen import check_free
from etcdorm.mapping.records import to_model
from etcdorm.path import Path
from etcdorm.session import listing
from etcdorm.session.defaults import Defaults
from etcdorm.session.listing import Listing, OnInvalid
from etcdorm.store import Record, StaleRecord, Store, Ttl

M = TypeVar("M", bound=EtcdModel)


class _Latest(Enum):
    LATEST = "latest"


LATEST: Final = _Latest.LATEST
"""For ``tail``: after the last record there is, so that only new ones come."""
Latest = Literal[_Latest.LATEST]

_AT_ONCE = 16
"""How many records a trim deletes at the same time."""


async def append(store: Store, model: EtcdModel, *, ttl: Ttl, defaults: Defaults) -> None:
    """Write an object under a key that the store makes; note its key and its place."""
    schema = schema_of(type(model))
    check_free(model, "appended")
    await hooks.before_save(model)
    directory = schema.append_directory(model)
    record = await store.append(
        directory, schema.encode(model, document=True)[""], ttl=defaults.ttl_of(schema.ttl, ttl)
    )
    schema.with_key(model, record.path)
    set_place(model, Place.of(record))
    await hooks.after_save(model, record.where)


async def records(
    store: Store,
    schema: Schema[M],
    fields: Mapping[str, object],
    *,
    after: M | str | int | None,
    limit: int | None,
    on_invalid: OnInvalid,
) -> Listing[M]:
    """One page."""
    listing.check_on_invalid(on_invalid)
    listing.check_count("limit", limit)
    name = _name(store, schema, after, "after")
    collection = schema.collection(fields)
    await hooks.before_load(schema, collection.prefix, namespace=store.namespace)
    found = await store.sequence(collection, after=name)
    invalid: list[DecodeError] = []
    errors = None if on_invalid == "raise" else invalid
    models = await listing.chosen(schema, listing.read(schema, found), errors, limit=limit)
    return listing.told(schema, models, invalid, on_invalid)


def tail(
    store: Store, schema: Schema[M], fields: Mapping[str, object], *, after: M | str | int | Latest | None
) -> Tail[M]:
    """Those there are, then each new one."""
    name = None if after is LATEST else _name(store, schema, after, "after")
    collection = schema.collection(fields)
    return Tail(store.follow(collection, after=name), schema, collection.prefix, namespace=store.namespace)


async def trim(
    store: Store,
    schema: Schema[M],
    fields: Mapping[str, object],
    *,
    keep: int | None,
    older_than: M | str | int | None,
    where: Callable[[M], bool] | None,
) -> int:
    """Delete the records that meet all that is given."""
    if keep is None and older_than is None and where is None:
        raise UsageError(f"trim deletes records of {schema.name} by keep=, older_than= or where=, and none was given")
    listing.check_filter(where)
    listing.check_count("keep", keep)
    before = _name(store, schema, older_than, "older_than")
    old = await store.sequence(schema.collection(fields))
    if keep:
        old = old[:-keep]
    if older_than is not None:
        old = [record for record in old if record.path.segments[-1] < before]
    if where is not None:
        models = [(record, to_model(schema, record)) for record in old]
        old = [
            record
            for record, model in models
            if model is not None and listing.wants(where, await hooks.after_load(model))
        ]
    deleted = 0
    for start in range(0, len(old), _AT_ONCE):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_delete(store, record)) for record in old[start : start + _AT_ONCE]]
        for outcome in [task.result() for task in tasks]:
            if isinstance(outcome, EtcdormError):
                raise outcome
            deleted += outcome
    return deleted


class Tail(Generic[M]):
    """An async context manager and iterator of appended records; see ``Session.tail``.

    A cancelled ``anext`` loses nothing. A record that does not fit raises DecodeError from ``anext``, and what a hook
    raises comes out of it too; the next one goes on behind it.
    """

    def __init__(
        self,
        following: AbstractAsyncContextManager[AsyncIterator[Record]],
        schema: Schema[M],
        prefix: Path,
        *,
        namespace: str,
    ) -> None:
        self._following = following
        self._schema = schema
        self._prefix = prefix
        self._namespace = namespace
        self._next: M | None = None
        self._records: AsyncIterator[Record] | None = None

    async def __aenter__(self) -> Self:
        await hooks.before_load(self._schema, self._prefix, namespace=self._namespace)
        self._records = await self._following.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._following.__aexit__(kind, error, traceback)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> M:
        if self._records is None:
            raise UsageError("a tail is entered first: async with session.tail(...) as records")
        while self._next is None:
            self._next = to_model(self._schema, await anext(self._records))
        model = self._next
        self._next = None
        try:
            return await hooks.after_load(model)
        except asyncio.CancelledError:
            self._next = model
            raise


async def _delete(store: Store, record: Record) -> bool | EtcdormError:
    """Whether this call has deleted it; somebody else may have, or may have changed it."""
    try:
        try:
            await store.remove(record, owns=lambda name: True)
        except UnconfirmedError:
            # Whether it was this call or another trim makes no difference, as long as it is gone.
            if await store.read(record.path, fresh=True) is not None:
                raise
    except StaleRecord:
        return False
    except EtcdormError as error:
        return error
    return True


def _name(store: Store, schema: Schema[M], given: M | str | int | None, parameter: str) -> str:
    """The last segment of the path of a record or key that a caller gave; "" for none."""
    field = schema.made_key()
    if given is None:
        return ""
    if isinstance(given, _Latest):
        raise UsageError(f"{parameter}=LATEST is for tail, which waits for what is new")
    if isinstance(given, EtcdModel):
        if not isinstance(given, schema.model):
            raise UsageError(
                f"{parameter} is of {type(given).__name__}, and must be of {schema.name} or one of its keys"
            )
        given = getattr(given, field)
    name = schema.made_name(given)
    store.check_name(name)
    return name
