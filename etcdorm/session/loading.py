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
    if schema.hooks.before_load:
        await hooks.before_load(schema, path, namespace=store.namespace)
    found = to_model(schema, await store.read(path, fresh=fresh, owns=schema.owns))
    if found is not None and schema.hooks.after_load:
        await hooks.after_load(found)
    return found


async def reload(store: Store, schema: Schema[M], model: M) -> None:
    """Give an object the values of its record.

    Raises: NotFoundError; DecodeError; what a hook raises.
    """
    check_free(model, "reloaded")
    path = schema.path(model)
    await hooks.before_load(schema, path, namespace=store.namespace)
    assign(model, there(store, schema, path, to_model(schema, await store.read(path, owns=schema.owns))))
    await hooks.after_load(model)


def there(store: Store, schema: Schema[M], path: Path, found: M | None) -> M:
    """What was found at a path, which has to be something.

    Raises: NotFoundError.
    """
    if found is None:
        raise NotFoundError(f"{store.namespace}{path}: there is no {schema.model.__name__}")
    return found


def assign(model: M, fresh: M) -> None:
    """Give an object the values and the place of another one, frozen or not."""
    model.__dict__.clear()
    model.__dict__.update(fresh.__dict__)
    object.__setattr__(model, "__pydantic_fields_set__", fresh.__pydantic_fields_set__)
    object.__setattr__(model, "__pydantic_extra__", fresh.__pydantic_extra__)
