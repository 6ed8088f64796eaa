"""Records to models, with their place noted on them."""

from __future__ import annotations

from typing import TypeVar

from etcdorm.mapping.model import EtcdModel, Place, set_place
from etcdorm.mapping.schema import Schema
from etcdorm.store.types import Record

M = TypeVar("M", bound=EtcdModel)


def is_ours(schema: Schema[M], record: Record) -> bool:
    """A directory that no session ever saved is a record of the model only if one of its keys is the model's."""
    return record.version != 0 or any(schema.owns(name) for name in record.fields)


def to_model(schema: Schema[M], record: Record | None) -> M | None:
    """The model of a record; None when there is no record of this model.

    Raises: DecodeError.
    """
    if record is None or not is_ours(schema, record):
        return None
    model = schema.decode(record.path, record.fields, namespace=record.namespace)
    set_place(model, Place.of(record))
    return model
