"""Writing one model: what has changed, how it is committed, and what a refusal means."""

from __future__ import annotations

from typing import TypeVar

from etcdorm import hooks
from etcdorm.errors import AlreadyExistsError, DecodeError, EncodeError, LeaseLapsedError, UsageError
from etcdorm.mapping import EtcdModel, Place, Schema, changes, place_of, schema_of, set_place
from etcdorm.mapping.records import is_ours
from etcdorm.path import Path
from etcdorm.session.backoff import Backoff
from etcdorm.session.conflicts import OnConflict, merged, refused
from etcdorm.session.defaults import Defaults
from etcdorm.session.loading import assign
from etcdorm.store import KEEP, Record, StaleRecord, Store, Ttl

M = TypeVar("M", bound=EtcdModel)


async def save(
    store: Store, model: EtcdModel, *, ttl: Ttl, on_conflict: OnConflict, defaults: Defaults, timeout: float
) -> None:
    """Create the record of a new object, or commit what has changed in one that has a place; note its new place."""
    schema = schema_of(type(model))
    await hooks.before_save(model)
    path = schema.path(model)
    base = await _known(store, model, path)
    wanted, target = model, base
    backoff = Backoff(timeout)
    while True:
        try:
            record = await _write(store, schema, wanted, path, target, ttl=ttl, defaults=defaults)
            break
        except StaleRecord as stale:
            if on_conflict == "overwrite":
                target = stale.current
            elif target is None or base is None:
                raise _exists(path, model) from None
            elif on_conflict == "merge" and stale.current is not None:
                wanted, target = merged(schema, base, model, stale.current), stale.current
                await hooks.before_save(wanted)
            else:
                raise refused(schema, model, base, stale.current, "saved") from None
            if not await backoff.pause():
                raise refused(schema, model, base, stale.current, "saved") from None
        except LeaseLapsedError:
            set_place(model, None)
            if on_conflict != "overwrite":
                raise
            target = None
    if wanted is not model:
        assign(model, wanted)
    if record is not base:
        set_place(model, Place.of(record))
    if record is not target:
        await hooks.after_save(model, path)


async def _write(
    store: Store, schema: Schema[M], model: M, path: Path, target: Record | None, *, ttl: Ttl, defaults: Defaults
) -> Record:
    """Make ``target``, or the record that does not exist yet (None), hold what the model says.

    Raises: StaleRecord; LeaseLapsedError.
    """
    if target is None:
        fields = schema.encode(model, document=defaults.as_document(schema.layout))
        return await store.create(path, fields, owns=schema.owns, ttl=defaults.ttl_of(schema.ttl, ttl))
    changed = changed_keys(schema, model, target)
    if not changed and ttl is KEEP:
        return target
    return await store.commit(target, changed, ttl=ttl)


async def delete(store: Store, model: EtcdModel) -> None:
    """Remove the record of an object that has a place, if it is as the object knows it."""
    schema = schema_of(type(model))
    place = await known_place(store, model, "deleted")
    await hooks.before_delete(model)
    try:
        await store.remove(place.record, owns=schema.owns)
    except StaleRecord as stale:
        raise refused(schema, model, place.record, stale.current, "deleted") from None
    set_place(model, None)
    await hooks.after_delete(model, place.path)


async def fence(store: Store, model: EtcdModel, token: int) -> None:
    """Write a lock's token into the record of a model, and so move its version."""
    schema = schema_of(type(model))
    path = schema.path(model)
    mine = await _known(store, model, path)
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


async def _known(store: Store, model: EtcdModel, path: Path) -> Record | None:
    """The record at this path as the model knows it; None for a new object, also one that comes from elsewhere."""
    place = place_of(model)
    if place is None or place.path != str(path) or not await _is_from_here(store, place.record):
        return None
    return place.record


async def _is_from_here(store: Store, record: Record) -> bool:
    return not record.origin or record.origin == await store.origin()


async def known_place(store: Store, model: EtcdModel, done: str) -> Place:
    """The place of a model, for what can only be ``done`` to one that has a place in this store.

    Raises: UsageError.
    """
    place = place_of(model)
    if place is None:
        raise UsageError(
            f"this {type(model).__name__} was never loaded or saved, so it can't be {done}; load it from the session"
        )
    if not await _is_from_here(store, place.record):
        raise UsageError(
            f"{place.path}: this {type(model).__name__} was loaded from another cluster, so it can't be {done} in this "
            "one; load it from this session"
        )
    return place


def _exists(path: Path, model: EtcdModel) -> AlreadyExistsError:
    return AlreadyExistsError(
        f"{path}: there is a record already, and this {type(model).__name__} is a new object, so nothing was written; "
        'load the record to change it, or save with on_conflict="overwrite" to replace it'
    )


def changed_keys(schema: Schema[M], model: M, base: Record) -> dict[str, str | None]:
    """The keys to set, and to delete (None), so that a record which is as ``base`` says what the model says."""
    after = schema.encode(model, document=base.is_document, onto=base.fields)
    try:
        loaded = schema.decode(base.path, base.fields)
        before = schema.encode(loaded, document=base.is_document, onto=base.fields, to_write=False)
    except (DecodeError, EncodeError):
        before = dict(base.fields)  # a validator that depends on more than the value; then what is stored must do
    return changes(before, after, base.fields)
