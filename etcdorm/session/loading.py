"""Reading one model."""

from __future__ import annotations

from typing import TypeVar

from etcdorm import hooks
from etcdorm.errors import NotFoundError
from etcdorm.mapping import EtcdModel, Schema
from etcdorm.mapping.frozen import check_free
from etcdorm.mapping.records import to_model
from etcdorm.path import Path
from etcdorm.store import Store

M = TypeVar("M", bound=EtcdModel)


async def get(store: Store, schema: Schema[M], path: Path, *, fresh: bool = False) -> M | None:
    """The model of the record at a path, or None; ``fresh`` asks the majority.

    Raises: DecodeError; what a hook raises.
    """
    found = await _read(store, schema, path, fresh=fresh)
    if found is not None and schema.hooks.after_load:
        await hooks.after_load(found)
    return found


async def load(store: Store, schema: Schema[M], path: Path, *, fresh: bool = False) -> M:
    """As ``get``, but it must be there.

    Raises: NotFoundError; DecodeError.
    """
    found = await _read(store, schema, path, fresh=fresh)
    if found is None:
        raise _missing(store, schema, path)
    if schema.hooks.after_load:
        await hooks.after_load(found)
    return found


async def reload(store: Store, schema: Schema[M], model: M) -> None:
    """Give an object the values of its record.

    Raises: as ``load``.
    """
    check_free(model, "reloaded")
    path = schema.path(model)
    fresh = await _read(store, schema, path)
    if fresh is None:
        raise _missing(store, schema, path)
    assign(model, fresh)
    await hooks.after_load(model)


def assign(model: M, fresh: M) -> None:
    """Give an object the values and the place of another one, frozen or not."""
    model.__dict__.clear()
    model.__dict__.update(fresh.__dict__)
    object.__setattr__(model, "__pydantic_fields_set__", fresh.__pydantic_fields_set__)
    object.__setattr__(model, "__pydantic_extra__", fresh.__pydantic_extra__)


async def _read(store: Store, schema: Schema[M], path: Path, *, fresh: bool = False) -> M | None:
    if schema.hooks.before_load:
        await hooks.before_load(schema, path, namespace=store.namespace)
    return to_model(schema, await store.read(path, fresh=fresh, owns=schema.owns))


def _missing(store: Store, schema: Schema[M], path: Path) -> NotFoundError:
    return NotFoundError(f"{store.namespace}{path}: there is no {schema.model.__name__}")
