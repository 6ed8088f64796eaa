"""Writing one model: what has changed, how it is committed, and what a refusal means."""

from __future__ import annotations

from typing import TypeVar

from etcdorm import hooks
from etcdorm.errors import (
    AlreadyExistsError,
    LeaseLapsedError,
    UsageError,
)
from etcdorm.mapping import EtcdModel, Place, Schema, Seen, changed_keys, place_of, schema_of, set_place
from etcdorm.mapping.frozen import check_free
from etcdorm.mapping.merge import as_it_is, merge
from etcdorm.mapping.records import ours, owns_in
from etcdorm.path import Path
from etcdorm.session import fencing
from etcdorm.session.backoff import Backoff
from etcdorm.session.conflicts import OnConflict, check_on_conflict, merged, refused
from etcdorm.session.defaults import Defaults
from etcdorm.session.loading import assign
from etcdorm.store import KEEP, Record, StaleRecord, Store, Ttl

M = TypeVar("M", bound=EtcdModel)


async def save(
    store: Store, model: EtcdModel, *, ttl: Ttl, on_conflict: OnConflict, defaults: Defaults, timeout: float
) -> None:
    """Create the record of a new object, or commit what has changed in one that has a place; note its new place."""
    check_on_conflict(on_conflict)
    schema = schema_of(type(model))
    check_free(model, "saved")
    if schema.hooks.before_save:
        await hooks.before_save(model)
    path = schema.path(model)
    where = f"{store.namespace}{path}"
    place = await _known(store, model, path)
    base = None if place is None else place.record
    token = await fencing.token_for(store, path)
    # What the object knows does not tell whether there is anything to overwrite.
    wanted, target = model, base if on_conflict != "overwrite" else await _there(store, schema, path)
    merged_of: EtcdModel | None = None
    backoff = Backoff(timeout)
    while True:
        try:
            # What the object holds now, and not what it may hold when the save has come to its end.
            seen = schema.differ.seen(wanted)
            known = None if place is None or target is not base else place.seen
            record = await _write(store, schema, wanted, path, target, known, ttl=ttl, defaults=defaults, token=token)
            break
        except StaleRecord as stale:
            fencing.check(stale, where, token)
            current = ours(schema, stale.current)
            if on_conflict == "overwrite":
                target = current
            elif target is None or base is None:
                raise _exists(store, path, model) from None
            elif on_conflict == "merge" and current is not None:
                wanted, target = merged(schema, base, model, current), current
                merged_of = as_it_is(model)
                await hooks.before_save(wanted)
            else:
                raise refused(schema, model, where, base, current, "saved") from None
            if not await backoff.pause():
                raise refused(schema, model, where, base, current, "saved") from None
        except LeaseLapsedError:
            set_place(model, None)
            if on_conflict != "overwrite":
                raise
            target = None
    if merged_of is not None:
        # What was edited while the merged values were saved stays, for the next save.
        assign(model, merge(merged_of, model, wanted, rules=False).model)
    if record is not base:
        set_place(model, Place.of(record, seen=seen))
    if record is not target and schema.hooks.after_save:
        await hooks.after_save(model, record.where)


async def _write(
    store: Store,
    schema: Schema[M],
    model: M,
    path: Path,
    target: Record | None,
    known: Seen | None,
    *,
    ttl: Ttl,
    defaults: Defaults,
    token: int | None,
) -> Record:
    """Make ``target``, or the record that does not exist yet (None), hold what the model says.

    ``known`` are the values that ``target`` is known to give.
    Raises: StaleRecord; LeaseLapsedError.
    """
    if target is None:
        fields = schema.encode(model, document=defaults.as_document(schema.layout))
        return await store.create(path, fields, owns=schema.owns, ttl=defaults.ttl_of(schema.ttl, ttl), token=token)
    changed = changed_keys(schema, model, target, known)
    if not changed and ttl is KEEP:
        return target
    return await store.commit(target, changed, ttl=ttl, token=token)


async def delete(store: Store, model: EtcdModel) -> None:
    """Remove the record of an object that has a place, if it is as the object knows it."""
    schema = schema_of(type(model))
    place = await known_place(store, model, "deleted")
    if schema.hooks.before_delete:
        await hooks.before_delete(model)
        place = await known_place(store, model, "deleted")  # it may have saved the object
    token = await fencing.token_for(store, place.record.path)
    try:
        await store.remove(place.record, owns=owns_in(schema, place.record), token=token)
    except StaleRecord as stale:
        fencing.check(stale, place.record.where, token)
        current = ours(schema, stale.current)
        raise refused(schema, model, place.record.where, place.record, current, "deleted") from None
    except LeaseLapsedError:
        set_place(model, None)
        raise
    set_place(model, None)
    await hooks.after_delete(model, place.record.where)


async def _there(store: Store, schema: Schema[M], path: Path) -> Record | None:
    """The record of the model at this path now, as the majority knows it, be it one that does not fit."""
    return ours(schema, await store.read(path, fresh=True, owns=schema.owns))


async def _known(store: Store, model: EtcdModel, path: Path) -> Place | None:
    """The place that the model has at this path; None for a new object, also one that comes from elsewhere."""
    place = place_of(model)
    if place is None or place.record.path != path or not await _is_from_here(store, place.record):
        return None
    return place


async def _is_from_here(store: Store, record: Record) -> bool:
    return record.namespace == store.namespace and (not record.origin or record.origin == await store.origin())


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
            f"{place.record.where}: this {type(model).__name__} was loaded from another cluster or namespace, so it "
            f"can't be {done} in this session; load it from this one"
        )
    return place


def _exists(store: Store, path: Path, model: EtcdModel) -> AlreadyExistsError:
    return AlreadyExistsError(
        f"{store.namespace}{path}: there is a record already, and this {type(model).__name__} is a new object, so "
        'nothing was written; load the record to change it, or save with on_conflict="overwrite" to replace it'
    )
