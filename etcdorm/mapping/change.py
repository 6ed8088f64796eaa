"""What a watch tells of one record, in typed values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from etcdorm.errors import DecodeError
from etcdorm.mapping.model import EtcdModel

M = TypeVar("M", bound=EtcdModel)


@dataclass(frozen=True, slots=True)
class Created(Generic[M]):
    """A record that was not there before; ``initial`` when it was there as the watch began."""

    path: str
    new: M
    initial: bool = False
    gap: bool = False


@dataclass(frozen=True, slots=True)
class Updated(Generic[M]):
    """A record went from ``old`` to ``new``; ``old`` is None when it was not valid.

    ``fields`` names what differs (``port``, ``labels.env``), as in a ConflictError; nothing when ``old`` is None.
    """

    path: str
    old: M | None
    new: M
    gap: bool = False
    fields: tuple[str, ...] = field(default=(), compare=False)  # which follows from the two


@dataclass(frozen=True, slots=True)
class Deleted(Generic[M]):
    """A record was deleted; ``old`` is None when it was not valid."""

    path: str
    old: M | None
    gap: bool = False


@dataclass(frozen=True, slots=True)
class Expired(Generic[M]):
    """A record's TTL ran out; ``old`` is None when it was not valid."""

    path: str
    old: M | None
    gap: bool = False


@dataclass(frozen=True, slots=True)
class Invalid(Generic[M]):
    """A record is there, and does not fit the model: ``error`` names every key, field and text."""

    path: str
    old: M | None
    error: DecodeError
    gap: bool = False


Change: TypeAlias = Created[M] | Updated[M] | Deleted[M] | Expired[M] | Invalid[M]
"""``gap=True`` on any of them: states in between may be missing, as it was found by reading anew after a break, or is
put together of several for a consumer who was too slow."""
