"""The commit record: what ``@commit`` holds, and the reservation that stands in for it before the first commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import NoneType
from typing import Any

from pydantic_core import from_json, to_json

COMMIT, APPLIED, LEASE = "@commit", "@applied", "@lease"
BOOKKEEPING = frozenset((COMMIT, APPLIED, LEASE))

RESERVATION_TTL = 5
"""Seconds. Long enough for the two requests that it stands between, short enough to be waited out after a crash."""

HISTORY = 10
"""How many earlier transaction ids a commit record carries, for settling a lost answer."""

_RESERVED = "@reserved:"
_TEXT, _NUMBER = (str, NoneType), (int, NoneType)
_TEXTS = frozenset(_TEXT)


@dataclass(frozen=True)
class Commit:
    """One save of a record.

    ``pending`` are the keys that this save brings up to date (None: deletes), with those of earlier saves that were
    not yet applied. ``lease`` is the value that ``@lease`` must have for the record to exist, and
    ``timed`` the id of the last commit that was to set its TTL. ``fence`` is the fencing
    token of the newest lock on the record.
    """

    id: str
    earlier: tuple[str, ...] = ()
    pending: Mapping[str, str | None] = field(default_factory=dict, repr=False)  # its texts may be secret
    lease: str | None = None
    timed: str | None = None
    fence: int | None = None
    deleted: bool = False

    def history(self) -> tuple[str, ...]:
        """What the next commit carries as ``earlier``, the newest first."""
        return (self.id, *self.earlier)[:HISTORY]

    @cached_property
    def text(self) -> str:
        """What stands in ``@commit``; ``from_text`` is the inverse."""
        document: dict[str, object] = {"id": self.id, "earlier": self.earlier, "pending": self.pending}
        if self.lease is not None:
            document["lease"] = self.lease
            document["timed"] = self.timed
        if self.fence is not None:
            document["fence"] = self.fence
        if self.deleted:
            document["deleted"] = True
        return to_json(document).decode()

    @classmethod
    def from_text(cls, text: str) -> Commit:
        """Read a commit record.

        Raises: ValueError when it is none.
        """
        document = _parse(text)
        return cls(
            document["id"],
            tuple([str(id) for id in document.get("earlier", ())]),
            document.get("pending", {}),
            document.get("lease"),
            document.get("timed"),
            document.get("fence"),
            bool(document.get("deleted")),
        )


def says_nothing_else(text: str, id: str) -> bool:
    """Whether a commit record is that of save ``id``, and of a record that lives on without a lease or a lock's fence.

    It looks at both ends alone, as ``Commit.text`` has them: what is between counts only while it is not applied.
    """
    if '"' in id or "\\" in id:  # it could stand for other text in JSON; ours never do
        return False
    return text.startswith(f'{{"id":"{id}","earlier":[') and text.endswith("}}")  # the ends of `pending` and of it all


def _parse(text: str) -> dict[str, Any]:  # Any: what stands in JSON; by the names of the members, as in `Commit`
    document: Any = from_json(text, cache_strings="keys")  # its texts hardly ever come again
    if not isinstance(document, dict) or not isinstance(document.get("id"), str):
        raise ValueError("not a JSON object with an id")
    pending = document.get("pending", {})
    if not isinstance(pending, dict) or not _TEXTS.issuperset(map(type, pending.values())):
        raise ValueError("its pending changes are not texts by key")
    if not isinstance(document.get("earlier", []), list):
        raise ValueError("its earlier ids are not a list")
    lease, timed, fence = document.get("lease"), document.get("timed"), document.get("fence")
    if not (isinstance(lease, _TEXT) and isinstance(timed, _TEXT) and isinstance(fence, _NUMBER)):
        raise ValueError("its lease or fence is of a wrong type")
    return document


def reservation(id: str) -> str:
    """The value of a key that is only reserved, by the transaction ``id``."""
    return _RESERVED + id


def is_reservation(value: str, *, expires: bool) -> bool:
    """Whether a key is only reserved. Plain keys never expire, so no user's text can be taken for a reservation."""
    return expires and value.startswith(_RESERVED)


def lease_name(id: str, attempt: int, at: int) -> str:
    """The value of a lease that transaction ``id`` makes for its commit over the index ``at`` of ``@commit``."""
    return f"{id}.{attempt}.{at}"


def lease_base(name: str) -> int | None:
    """The index of ``@commit`` that a lease was made for. When that has moved on to a commit that does not name the
    lease, none ever will."""
    at = name.rpartition(".")[2]
    return int(at) if at.isdecimal() else None
