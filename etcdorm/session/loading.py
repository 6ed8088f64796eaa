"""Reading one model."""

from __future__ import annotations

from typing import TypeVar

from etcdorm.errors import NotFoundError
from etcdorm.mapping import EtcdModel, Schema
from etcdorm.mapping.records import to_model
from etcdorm.path import Path
from etcdorm.store import Store

M = TypeVar("M", bound=EtcdModel)


async def get(store: Store, schema: Schema[M], path: Path, *, fresh: bool = False) -> M | None:
    """The model of the record at a path, or None; ``fresh`` asks the majority.

    Raises: DecodeError.
    """
    return to_model(schema, await store.read(path, fresh=fresh, owns=schema.owns))


async def load(store: Store, schema: Schema[M], path: Path, *, fresh: bool = False) -> M:
    """As ``get``, but it must be there.

    Raises: NotFoundError; DecodeError.
    """
    found = await get(store, schema, path, fresh=fresh)
    if found is None:
        raise NotFoundError(f"{path}: there is no {schema.model.__name__}")
    return found


def assign(model: M, fresh: M) -> None:
    """Give an object the values and the place of another one, frozen or not."""
    model.__dict__.clear()
    model.__dict__.update(fresh.__dict__)
    object.__setattr__(model, "__pydantic_fields_set__", fresh.__pydantic_fields_set__)
    object.__setattr__(model, "__pydantic_extra__", fresh.__pydantic_extra__)
