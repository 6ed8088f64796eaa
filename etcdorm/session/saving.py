"""Writing one model: what has changed, how it is committed, and what a refusal means."""

from __future__ import annotations

from typing import TypeVar

from etcdorm.errors import (
    AlreadyExistsError,
    ConflictError,
    DecodeError,
    EncodeError,
    LeaseLapsedError,
    NotFoundError,
    UsageError,
)
from etcdorm.mapping import EtcdModel, Place, Schema, changes, place_of, schema_of, set_place
from etcdorm.mapping.records import is_ours, to_model
from etcdorm.path import Path
from etcdorm.store import KEEP, Record, StaleRecord, Store, Ttl

M = TypeVar("M", bound=EtcdModel)


async def save(store: Store, model: M, *, ttl: Ttl) -> None:
    """Create the record of a new object, or commit what has changed in one that has a place; note its new place."""
    schema = schema_of(type(model))
    path = schema.path(model)
    place = place_of(model)
    if place is None or place.path != str(path):
        record = await _create(store, schema, model, path, ttl)
    else:
        changed = _changed(schema, model, place.record)
        if not changed and ttl is KEEP:
            return
        try:
            record = await store.commit(place.record, changed, ttl=ttl)
        except StaleRecord as stale:
            raise _refused(schema, model, place.record, stale.current, "saved") from None
        except LeaseLapsedError:
            set_place(model, None)
            raise
    set_place(model, Place.of(record))


async def delete(store: Store, model: EtcdModel) -> None:
    """Remove the record of an object that has a place, if it is as the object knows it."""
    schema = schema_of(type(model))
    place = known_place(model, "deleted")
    try:
        await store.remove(place.record, owns=schema.owns)
    except StaleRecord as stale:
        raise _refused(schema, model, place.record, stale.current, "deleted") from None
    set_place(model, None)


async def fence(store: Store, model: EtcdModel, token: int) -> None:
    """Write a lock's token into the record of a model, and so move its version."""
    schema = schema_of(type(model))
    path = schema.path(model)
    place = place_of(model)
    mine = place.record if place is not None and place.path == str(path) else None
    while True:
        record = await store.read(path, fresh=True)
        if record is None or record.is_document or not is_ours(schema, record):
            return  # nothing to guard, or a record that has no place for a token
        base = mine if mine is not None and mine.version == record.version else record
        try:
            fenced = await store.commit(base, {}, fence=token)
        except StaleRecord:
            # It is not as this object was loaded, not even where its version is: 0, while no session saved it.
            mine = None
            continue
        if base is mine:
            set_place(model, Place.of(fenced))
        return


def known_place(model: EtcdModel, done: str) -> Place:
    """The place of a model, for what can only be ``done`` to one that has a place.

    Raises: UsageError.
    """
    place = place_of(model)
    if place is None:
        raise UsageError(
            f"this {type(model).__name__} was never loaded or saved, so it can't be {done}; load it from the session"
        )
    return place


async def _create(store: Store, schema: Schema[M], model: M, path: Path, ttl: Ttl) -> Record:
    fields = schema.encode(model, document=schema.layout == "document")
    try:
        return await store.create(path, fields, owns=schema.owns, ttl=None if ttl is KEEP else ttl)
    except StaleRecord:
        raise AlreadyExistsError(
            f"{path}: there is a record already, and this {type(model).__name__} is a new object, so nothing was "
            "written; load the record to change it"
        ) from None


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
