"""Records to models, with their place noted on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from etcdorm.errors import DecodeError
from etcdorm.mapping.model import EtcdModel, place_new
from etcdorm.mapping.schema import Schema
from etcdorm.path import Path
from etcdorm.store.types import Owns, Record

M = TypeVar("M", bound=EtcdModel)
T = TypeVar("T")


def is_ours(schema: Schema[M], record: Record) -> bool:
    """A directory that no session ever saved is a record of the model only if one of its keys is the model's.

    A key that an upgrade takes up is one.
    """
    return (
        record.error is not None
        or record.version != 0
        or any(schema.owns(name) for name in record.fields)
        or schema.versions.takes_up(record.fields)
    )


def ours(schema: Schema[M], record: Record | None) -> Record | None:
    """The record, if it is one of the model."""
    return record if record is not None and is_ours(schema, record) else None


def owns_in(schema: Schema[M], record: Record) -> Owns:
    """Which keys belong to the model, those included that its upgrades take out of this record of an older version."""
    try:
        dropped = record.fields.keys() - upgraded(schema, record).keys()
    except DecodeError:
        return schema.owns
    return (lambda key: key in dropped or schema.owns(key)) if dropped else schema.owns


def version_of(schema: Schema[M], record: Record) -> int:
    """The version of the class that a record is of.

    Raises: DecodeError; NewerVersionError.
    """
    return _read(schema.versions.found, record)


def upgraded(schema: Schema[M], record: Record) -> Mapping[str, str]:
    """The fields of a record in the form of the class's version; the same object when they are so already.

    Raises: DecodeError; NewerVersionError.
    """
    return _read(schema.versions.upgraded, record)


def to_model(schema: Schema[M], record: Record | None) -> M | None:
    """The model of a record; None when there is no record of this model.

    Raises: DecodeError.
    """
    if record is None or not is_ours(schema, record):
        return None
    if record.error is not None:
        raise record.error
    model = _read(schema.decode, record)
    place_new(model, record, schema.differ.seen(model))
    return model


def _read(read: Callable[[Path, Mapping[str, str]], T], record: Record) -> T:
    """What is read of a record; an error names it as it lies in etcd, not only by the path within a namespace."""
    try:
        return read(record.path, record.fields)
    except DecodeError as error:
        error.namespace = record.namespace
        raise
