"""What a session does where a class says nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from etcdorm.errors import UsageError
from etcdorm.mapping.schema import Layout
from etcdorm.store import KEEP, Ttl


@dataclass(frozen=True, slots=True)
class Defaults:
    """``layout`` for classes without one, and the ``ttl`` in whole seconds that their records are made with.

    Raises: UsageError.
    """

    layout: Layout = "directory"
    ttl: int | None = None

    def __post_init__(self) -> None:
        if self.layout not in get_args(Layout):
            raise UsageError(f"the session's layout must be one of {get_args(Layout)}, not {self.layout!r}")
        if self.ttl is not None and (isinstance(self.ttl, bool) or not isinstance(self.ttl, int) or self.ttl < 1):
            raise UsageError(f"the session's ttl must be whole seconds, from 1 on, not {self.ttl!r}")

    def as_document(self, layout: Layout | None) -> bool:
        """Whether a new record of a class that says this is one key."""
        return (layout or self.layout) == "document"

    def ttl_of(self, ttl: Ttl, asked: Ttl) -> int | None:
        """The TTL of a new record, where its class says this one and the call asks for that one."""
        if asked is not KEEP:
            return asked
        return self.ttl if ttl is KEEP else ttl
