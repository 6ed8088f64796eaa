"""How long a long poll may wait before it is renewed. Pure: it is told where the store stood, and when."""

from __future__ import annotations

_FIRST = 1.0
_SHORTEST = 0.05
_HISTORY = 500
"""Events of the whole store within which a poll is renewed: half of what etcd's history holds."""


class Pace:
    """The seconds that the next poll may take: ``longest`` on a quiet store, less on a busy one.

    A poll that ends without an event tells only where the store stood when it began, so the next one has to begin in
    the history from there on, which is the last 1000 events of the *whole* store.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._known: tuple[int, float] | None = None
        self.seconds = min(_FIRST, longest)

    def registered(self, index: int, now: float) -> None:
        """A poll that was registered at this index has ended."""
        if self._known is not None:
            before, then = self._known
            moved = max(index - before, 0)
            safe = self._longest if not moved else (now - then) * _HISTORY / moved
            self.seconds = max(_SHORTEST, min(self._longest, self.seconds * 2, safe))
        self._known = index, now
