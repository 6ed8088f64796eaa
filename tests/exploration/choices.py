"""Where a run gets its decisions from."""

from __future__ import annotations

import random
from typing import Protocol


class Choices(Protocol):
    @property
    def are_all(self) -> bool:
        """Whether every run will be made, so that one may be given up which is like another."""
        ...

    def pick(self, options: int) -> int: ...


class Dice:
    """Random choices from a seed."""

    are_all = False

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def pick(self, options: int) -> int:
        return self._random.randrange(options)


class Enumeration:
    """Every sequence of choices once: depth first, by running again with the last choice moved on."""

    are_all = True

    def __init__(self) -> None:
        self._path: list[tuple[int, int]] = []
        self._depth = 0

    def pick(self, options: int) -> int:
        if self._depth == len(self._path):
            self._path.append((0, options))
        choice, _ = self._path[self._depth]
        self._depth += 1
        return choice

    def advance(self) -> bool:
        """Go to the next sequence; False when there is none."""
        self._depth = 0
        while self._path:
            choice, options = self._path[-1]
            if choice + 1 < options:
                self._path[-1] = (choice + 1, options)
                return True
            self._path.pop()
        return False
