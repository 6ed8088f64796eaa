"""The session: models in and out of a store. It plans with the mapping, then acts on the port."""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self, TypeVar

from etcdorm.errors import (
    AlreadyExistsError,
    ConflictError,
    DecodeError,
    EncodeError,
    LeaseLapsedError,
    NotFoundError,
    UsageError,
)
from etcdorm.feed import Feed
from etcdorm.mapping import EtcdModel, Place, Schema, changes, place_of, schema_of, set_place
from etcdorm.mapping.records import is_ours, to_model
from etcdorm.path import Path, encode_segment
from etcdorm.recipes.lock import Held, Lock
from etcdorm.store import KEEP, Record, StaleRecord, Store, Ttl

M = TypeVar("M", bound=EtcdModel)

LOCKS = Path.parse("/_etcdorm/locks")
"""Where locks lie; hidden, so that listings from above don't show them."""


class Session:
    """Loads, saves and watches models in one store, which it owns and closes.

    A session holds no models: what a model knows of its place in etcd is ``model.etcd``. Any number of tasks may use
    one session at the same time.
    """

    def __init__(self, store: Store, *, timeout: float = 10.0) -> None:
        self._store = store
        self._timeout = timeout

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The URLs of the cluster; with ``"embedded:"``, of the etcd that was started."""
        return self._store.endpoints

    async def save(self, model: M, *, ttl: Ttl = KEEP) -> M:
        """Write a new object, or what has changed in one that was loaded or saved before: all of it, or nothing.

        Only changed fields are written. An object whose key fields were changed is a new one, at its new path.
        Units: ``ttl`` in whole seconds; None takes a TTL away; by default a record keeps the one it has.
        Resend: a lost answer is settled by reading; the save happens once or not at all.
        Cancel: it may have happened, whole.
        Raises: AlreadyExistsError for a new object where a record is; ConflictError when another save came between;
            NotFoundError when the record was deleted, LeaseLapsedError when its TTL ran out (the object is a new one
            then, and saving it again makes the record anew); EncodeError; UnconfirmedError; UnavailableError.
        """
        schema = schema_of(type(model))
        path = schema.path(model)
        place = place_of(model)
        if place is None or place.path != str(path):
            record = await self._create(schema, model, path, ttl)
        else:
            changed = _changed(schema, model, place.record)
            if not changed and ttl is KEEP:
                return model
            try:
                record = await self._store.commit(place.record, changed, ttl=ttl)
            except StaleRecord as stale:
                raise _refused(schema, model, place.record, stale.current, "saved") from None
            except LeaseLapsedError:
                set_place(model, None)
                raise
        set_place(model, Place.of(record))
        return model

    async def load(self, model: type[M], /, *key: object, **fields: object) -> M:
        """The model with this key, in the order of its path or by name.

        Raises: NotFoundError; DecodeError when what is stored does not fit; UsageError for a key that can't be one.
        """
        found = await self.get(model, *key, **fields)
        if found is None:
            raise _not_found(model, schema_of(model).path_from(key, fields))
        return found

    async def get(self, model: type[M], /, *key: object, **fields: object) -> M | None:
        """As ``load``, but None when there is no such record."""
        schema = schema_of(model)
        return to_model(schema, await self._store.read(schema.path_from(key, fields), owns=schema.owns))

    async def list(self, model: type[M], /, **fields: object) -> list[M]:
        """All models of a class, sorted by path, of one moment, in one request; key fields narrow it.

        Raises: DecodeError for the first record that does not fit.
        """
        schema = schema_of(model)
        records = await self._store.scan(schema.collection(fields), owns=schema.owns)
        found = (to_model(schema, record) for record in records)
        return [each for each in found if each is not None]

    async def reload(self, model: M) -> M:
        """Bring an object up to date with etcd; its unsaved changes are gone then.

        Raises: NotFoundError; DecodeError, with the object as it was.
        """
        schema = schema_of(type(model))
        path = schema.path(model)
        fresh = to_model(schema, await self._store.read(path, owns=schema.owns))
        if fresh is None:
            raise _not_found(type(model), path)
        _assign(model, fresh)
        return model

    async def delete(self, model: EtcdModel) -> None:
        """Delete the record of an object that was loaded or saved; the object is a new one then.

        Keys in its directory that the model does not know are left, and so is the directory then.
        Cancel: it may have happened, whole.
        Raises: ConflictError when another save came between; NotFoundError when it is gone already.
        """
        schema = schema_of(type(model))
        place = _place(model, "deleted")
        try:
            await self._store.remove(place.record, owns=schema.owns)
        except StaleRecord as stale:
            raise _refused(schema, model, place.record, stale.current, "deleted") from None
        set_place(model, None)

    async def update(self, model: type[M], key: object, change: Callable[[M], M | Awaitable[M | None] | None]) -> M:
        """Load, ``change(model)``, save; and again, from what is there by then, when another save came between.

        ``key`` is one value, or a tuple of them for a path with several (or no) key fields. ``change`` may be async; it
        changes the object, or returns another one (for frozen models: ``model_copy``). It may be called several times.
        Raises: as ``load`` and ``save``; ConflictError when others keep coming between until the time is up.
        """
        schema = schema_of(model)
        path = schema.path_from(key if isinstance(key, tuple) else (key,), {})
        deadline = time.monotonic() + self._timeout
        tries = 0
        while True:
            loaded = to_model(schema, await self._store.read(path, fresh=tries > 0, owns=schema.owns))
            if loaded is None:
                raise _not_found(model, path)
            changed = change(loaded)
            if inspect.isawaitable(changed):
                changed = await changed
            if changed is not None and not isinstance(changed, model):
                raise UsageError(
                    f"change returned a {type(changed).__name__}; it must return None, having changed the object, or a "
                    f"{model.__name__} to save; nothing was written"
                )
            try:
                return await self.save(loaded if changed is None else changed)
            except ConflictError:
                tries += 1
                pause = random.uniform(0, min(0.5, 0.01 * 2.0**tries))
                if time.monotonic() + pause >= deadline:
                    raise
                await asyncio.sleep(pause)

    async def append(self, model: M, *, ttl: int | None = None) -> M:
        """Write an object under a key that the server makes; keys grow in the order of the appends.

        The last segment of the class's path is the key field that takes it. The object is stored as one JSON key, in
        either layout: that is what etcd can number.
        Resend: never; a lost answer is an UnconfirmedError, and the record may be there.
        """
        schema = schema_of(type(model))
        directory = schema.append_directory(model)
        record = await self._store.append(directory, schema.encode(model, document=True)[""], ttl=ttl)
        schema.with_key(model, record.path)
        set_place(model, Place.of(record))
        return model

    async def refresh(self, model: M, *, ttl: int) -> M:
        """Put off the expiry of a whole model to ``ttl`` seconds from now, in one request that wakes no watcher.

        It neither writes fields nor makes anybody's save conflict.
        Raises: LeaseLapsedError when it has expired already (saving the object makes it anew, with ``ttl=``);
            UsageError for a model without a TTL.
        """
        place = _place(model, "refreshed")
        try:
            record = await self._store.touch(place.record, ttl=ttl)
        except LeaseLapsedError:
            set_place(model, None)
            raise
        set_place(model, Place.of(record))
        return model

    @asynccontextmanager
    async def lock(
        self, target: EtcdModel | str, *, ttl: int = 10, timeout: float | None = None
    ) -> AsyncIterator[Held]:
        """Hold the lock of a model's record, or of a name, for the time of a block.

        It is kept alive and released on every way out. The lock of a model's record also moves the record's version,
        so that a save by whoever loaded it before is refused; what this object has loaded goes on if it was current.
        Load what you work on within the block.
        Units: ``ttl`` in whole seconds, the longest that a dead holder is waited for; ``timeout`` in seconds to wait.
        Raises: LockTimeoutError when the lock was not free in time; LockLostError at the end of the block when it
            could not be kept (``held.lost`` is set before its TTL can have run out).
        """
        name = target if isinstance(target, str) else str(schema_of(type(target)).path(target))
        async with Lock(self._store, LOCKS / encode_segment(name), ttl=ttl, timeout=timeout) as held:
            if isinstance(target, EtcdModel):
                await self._fence(target, held.token)
            yield held

    def watch(self, model: type[M], /, **fields: object) -> Feed[M]:
        """The records there are, then every change of them, in order: ``async with session.watch(Node) as changes``.

        One save is one change, however many keys it wrote. It resumes after any break; when etcd's history no longer
        reaches back, it reads anew and marks what differs with ``gap=True``. Key fields narrow it.
        """
        schema = schema_of(model)
        return Feed(self._store.watch(schema.collection(fields)), schema)

    async def close(self) -> None:
        """Close the store and its connections. May be called twice."""
        await self._store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _create(self, schema: Schema[M], model: M, path: Path, ttl: Ttl) -> Record:
        fields = schema.encode(model, document=schema.layout == "document")
        try:
            return await self._store.create(path, fields, owns=schema.owns, ttl=None if ttl is KEEP else ttl)
        except StaleRecord:
            raise AlreadyExistsError(
                f"{path}: there is a record already, and this {type(model).__name__} is a new object, so nothing was "
                "written; load the record to change it"
            ) from None

    async def _fence(self, model: EtcdModel, token: int) -> None:
        """Write the token into the record, and so move its version."""
        schema = schema_of(type(model))
        path = schema.path(model)
        place = place_of(model)
        mine = place.record if place is not None and place.path == str(path) else None
        while True:
            record = await self._store.read(path, fresh=True)
            if record is None or record.is_document or not is_ours(schema, record):
                return  # nothing to guard, or a record that has no place for a token
            base = mine if mine is not None and mine.version == record.version else record
            try:
                fenced = await self._store.commit(base, {}, fence=token)
            except StaleRecord:
                # It is not as this object was loaded, not even where its version is: 0, while no session saved it.
                mine = None
                continue
            if base is mine:
                set_place(model, Place.of(fenced))
            return


def _changed(schema: Schema[M], model: M, base: Record) -> dict[str, str | None]:
    after = schema.encode(model, document=base.is_document, onto=base.fields)
    try:
        loaded = schema.decode(base.path, base.fields)
        before = schema.encode(loaded, document=base.is_document, onto=base.fields)
    except (DecodeError, EncodeError):
        before = dict(base.fields)  # a validator that depends on more than the value; then what is stored must do
    return changes(before, after, base.fields)


def _refused(schema: Schema[M], model: M, base: Record, current: Record | None, done: str) -> Exception:
    if current is None:
        set_place(model, None)
        name = type(model).__name__
        anew = f"this {name} is a new object now, and saving it makes the record anew"
        if base.ttl is not None:
            # Its remains, which would have told, may be cleared away already; and a document leaves none.
            return LeaseLapsedError(
                f"{base.path}: the record had a TTL and does not exist any more, so nothing was {done}; {anew}"
            )
        return NotFoundError(
            f"{base.path}: the record was deleted after this {name} was loaded, so nothing was {done}; {anew}"
        )
    theirs = {name for name in {*base.fields, *current.fields} if base.fields.get(name) != current.fields.get(name)}
    what = f"another save changed {', '.join(sorted(filter(None, theirs)))}" if any(theirs) else "another save came"
    return ConflictError(
        f"{base.path}: {what} after this {type(model).__name__} was loaded (version {base.version} then, "
        f"{current.version} now), so nothing was {done}; reload it and try again, or use session.update",
        base=_try_decode(schema, base),
        mine=model,
        theirs=_try_decode(schema, current),
    )


def _try_decode(schema: Schema[M], record: Record) -> M | None:
    try:
        return to_model(schema, record)
    except DecodeError:
        return None


def _not_found(model: type[EtcdModel], path: Path) -> NotFoundError:
    return NotFoundError(f"{path}: there is no {model.__name__}")


def _place(model: EtcdModel, done: str) -> Place:
    place = place_of(model)
    if place is None:
        raise UsageError(
            f"this {type(model).__name__} was never loaded or saved, so it can't be {done}; load it from the session"
        )
    return place


def _assign(model: M, fresh: M) -> None:
    """Give an object the values and the place of another one, frozen or not."""
    model.__dict__.clear()
    model.__dict__.update(fresh.__dict__)
    object.__setattr__(model, "__pydantic_fields_set__", fresh.__pydantic_fields_set__)
    object.__setattr__(model, "__pydantic_extra__", fresh.__pydantic_extra__)
