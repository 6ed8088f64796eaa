"""Bringing the records of a class to its version, all at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import pydantic_core
from pydantic import JsonValue

from etcdorm import hooks
from etcdorm.errors import ConflictError, DecodeError, NotFoundError
from etcdorm.mapping import EtcdModel, Schema, changed_keys, place_of
from etcdorm.mapping.records import is_ours, to_model, version_of
from etcdorm.session import many, saving
from etcdorm.session.backoff import Backoff
from etcdorm.session.defaults import Defaults
from etcdorm.session.many import OnProgress, Results
from etcdorm.store import KEEP, Record, Store

M = TypeVar("M", bound=EtcdModel)


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One key of a record, or member of a document, that a migration sets, or deletes (``new`` is None).

    ``old`` is None where there was none. A member's texts are JSON. What ``str`` and ``repr`` show is without the
    texts, which may be secret.
    """

    key: str
    old: str | None = field(repr=False)
    new: str | None = field(repr=False)

    def __str__(self) -> str:
        verb = "deletes" if self.new is None else "adds" if self.old is None else "changes"
        return f"{verb} {self.key}"


@dataclass(frozen=True, slots=True)
class Migrated:
    """One record that was brought, or would be, from a version to that of its class.

    There are no ``changes`` when somebody else has done so, or deleted the record, while this call was under way.
    """

    path: str
    from_version: int
    to_version: int
    changes: tuple[KeyChange, ...]

    def __str__(self) -> str:
        done = ", ".join(str(change) for change in self.changes) or "nothing is left to do"
        return f"{self.path}, version {self.from_version} to {self.to_version}: {done}"


async def migrate(
    store: Store,
    schema: Schema[M],
    fields: Mapping[str, object],
    *,
    dry_run: bool,
    limit: int,
    on_progress: OnProgress | None,
    defaults: Defaults,
    timeout: float,
) -> Results[str, Migrated]:
    """As ``Session.migrate``."""
    collection = schema.collection(fields)
    await hooks.before_load(schema, collection.prefix, namespace=store.namespace)
    waiting: dict[str, Record | DecodeError] = {}
    for each in await store.scan(collection, owns=schema.owns):
        if isinstance(each, DecodeError):
            waiting[each.path] = each
        elif is_ours(schema, each):
            try:
                if not _is_current(schema, each):
                    waiting[str(each.path)] = each
            except DecodeError as error:
                waiting[str(each.path)] = error

    async def migrate(path: str) -> Migrated:
        found = waiting.pop(path)
        if isinstance(found, DecodeError):
            raise found
        if dry_run:
            return await _plan(schema, found)
        return await _migrate(store, schema, found, defaults=defaults, timeout=timeout)

    verb = "migrated in a dry run" if dry_run else "migrated"
    paths = sorted(waiting, key=lambda path: path.split("/"))
    return await many.run(migrate, paths, verb, limit=limit, on_progress=on_progress)


async def _plan(schema: Schema[M], record: Record) -> Migrated:
    """What ``_migrate`` would do; its hooks are called up to the write."""
    model = to_model(schema, record)
    assert model is not None
    await hooks.after_load(model)
    await hooks.before_save(model)
    after = {**record.fields, **changed_keys(schema, model, record)}
    return _migrated(schema, record, {key: text for key, text in after.items() if text is not None})


async def _migrate(store: Store, schema: Schema[M], first: Record, *, defaults: Defaults, timeout: float) -> Migrated:
    """Load and save it as the class says, from what is there by then, when another save came between."""
    backoff = Backoff(timeout)
    record: Record | None = first
    while True:
        model = to_model(schema, record)
        if record is None or model is None or _is_current(schema, record):
            return _migrated(schema, first, first.fields)
        await hooks.after_load(model)
        try:
            await saving.save(store, model, ttl=KEEP, on_conflict="raise", defaults=defaults, timeout=timeout)
        except ConflictError as error:
            if error.mine is not model or not await backoff.pause():
                raise
        except NotFoundError:
            if place_of(model) is not None:  # it is another one's, from a hook
                raise
        else:
            place = place_of(model)
            assert place is not None
            return _migrated(schema, record, place.record.fields)
        record = await store.read(first.path, fresh=True, owns=schema.owns)


def _is_current(schema: Schema[M], record: Record) -> bool:
    """Raises: DecodeError; NewerVersionError."""
    return version_of(schema, record) == schema.versions.number


def _migrated(schema: Schema[M], before: Record, after: Mapping[str, str]) -> Migrated:
    old, new = _texts(before.fields), _texts(after)
    changes = [
        KeyChange(key, old.get(key), new.get(key)) for key in sorted({**old, **new}) if old.get(key) != new.get(key)
    ]
    found = version_of(schema, before)
    return Migrated(str(before.path), found, schema.versions.number, tuple(changes))


def _texts(fields: Mapping[str, str]) -> Mapping[str, str]:
    """The keys; or a document's members, each as JSON."""
    if "" not in fields:
        return fields
    members: dict[str, JsonValue] = pydantic_core.from_json(fields[""])
    return {name: pydantic_core.to_json(value).decode() for name, value in members.items()}
