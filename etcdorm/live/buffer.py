"""What waits for one consumer of changes. Pure: it is told what happened, and asked for what is next."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import replace

from etcdorm.path import Path
from etcdorm.store import Event, Record


class Buffer:
    """Every change in order; or, for a consumer that is too slow, one for each record from what it was told to what is.

    ``limit`` is how many changes may wait before those of one record are put together; the records that were there at
    the beginning don't count. So what waits is never more than ``limit`` changes and one for each record. What comes
    out, once changes were put together, is marked with ``gap=True`` until nothing waits any more. With ``strict`` no
    changes are put together: it is ``over`` then, and takes no more.
    """

    def __init__(self, limit: int, *, strict: bool = False) -> None:
        self._limit = limit
        self._strict = strict
        self._every: deque[Event] = deque()
        self._initial = 0
        self._latest: OrderedDict[Path, Event] | None = None
        self._owes_gap = False
        self.over: bool = False

    def __len__(self) -> int:
        return len(self._every) if self._latest is None else len(self._latest)

    def put(self, event: Event) -> bool:
        """Add what happened last; True when changes are put together from here on."""
        if self.over:
            return False
        if self._latest is None and (event.initial or len(self._every) - self._initial < self._limit):
            self._every.append(event)
            self._initial += event.initial
            return False
        if self._strict and not self._is_alone(event):
            self.over = True
            return False
        owed = self._owes_gap
        for each in self._all_waiting():
            self._merge(each)
        self._merge(event)
        self._forget_if_empty()
        return self._owes_gap and not owed

    def take(self) -> Event | None:
        """The next change; None when nothing waits."""
        if self._latest is not None:
            _, event = self._latest.popitem(last=False)
            self._forget_if_empty()
        elif self._every:
            event = self._every.popleft()
            self._initial -= event.initial
        else:
            return None
        if self._owes_gap:
            event = replace(event, gap=True)
            self._owes_gap = self._latest is not None
        return event

    def _is_alone(self, event: Event) -> bool:
        """Whether no two of the changes that wait, with this one, are of one record."""
        if self._latest is not None:
            return event.path not in self._latest
        return len({each.path for each in (*self._every, event)}) == len(self._every) + 1

    def _all_waiting(self) -> deque[Event]:
        """Turn to keeping one change for each record: those that wait until now, which are to be merged."""
        waiting = self._every
        if self._latest is None:
            self._latest, self._every, self._initial = OrderedDict(), deque(), 0
        return waiting

    def _merge(self, event: Event) -> None:
        assert self._latest is not None
        before = self._latest.get(event.path)
        if before is None:
            self._latest[event.path] = event
            return
        self._owes_gap = True
        if _same(before.old, event.new):
            del self._latest[event.path]
            return
        initial = before.initial and event.new is not None
        self._latest[event.path] = replace(event, old=before.old, gap=True, initial=initial)

    def _forget_if_empty(self) -> None:
        if not self._latest:
            self._latest = None


def _same(told: Record | None, now: Record | None) -> bool:
    if told is None or now is None:
        return told is now
    return told.fields == now.fields
