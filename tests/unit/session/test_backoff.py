"""The pauses between the tries of a call."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from etcdorm.session.backoff import Backoff


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Each as long as it may be, on a clock that goes on by them alone."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(random, "uniform", lambda least, most: most)
    monkeypatch.setattr(time, "monotonic", lambda: sum(found))
    return found


async def test_pauses_grow_until_there_is_no_time_for_another(pauses: list[float]) -> None:
    backoff = Backoff(2.0)
    while await backoff.pause():
        pass
    assert pauses == [0.02, 0.04, 0.08, 0.16, 0.32, 0.5, 0.5]
    assert backoff.tries == len(pauses) + 1


async def test_without_time_there_is_no_pause(pauses: list[float]) -> None:
    assert not await Backoff(0.01).pause()
    assert pauses == []
