"""What a session does where a class says nothing."""

from __future__ import annotations

from dataclasses import dataclass

from etcdorm.mapping.schema import Layout
from etcdorm.store import KEEP, Ttl


@dataclass(frozen=True, slots=True)
class Defaults:
    """``layout`` for classes without one, and the ``ttl`` in whole seconds that their records are made with."""

    layout: Layout = "directory"
    ttl: int | None = None

    def as_document(self, layout: Layout | None) -> bool:
        """Whether a new record of a class that says this is one key."""
        return (layout or self.layout) == "document"

    def ttl_of(self, ttl: int | None, asked: Ttl) -> int | None:
        """The TTL of a new record, where its class says this one and the call asks for that one."""
        if asked is not KEEP:
            return asked
        return self.ttl if ttl is None else ttl
