"""Long polls, where no member can be brought to answer in the order that is asked for here."""

from __future__ import annotations

from typing import cast

import pytest

from etcdorm.v2 import EtcdEventIndexCleared, EtcdResult
from etcdorm.v2.polls import Polls
from etcdorm.v2.sequencer import SNAPSHOT_GAP
from etcdorm.v2.source import Source


class Answers:
    """A source of one member, with an answer to each poll; there is no history."""

    name = "/w"
    endpoints = ("http://10.0.0.1:2379",)
    best = endpoints[0]

    def __init__(self, *events: EtcdResult) -> None:
        self._events = list(events)
        self.asked: list[int] = []

    async def poll(self, index: int, *, wait: float, at: str) -> EtcdResult:
        self.asked.append(index)
        if not self._events:
            raise EtcdEventIndexCleared("The event in requested index is outdated and cleared", index=index)
        return self._events.pop(0)


def event(index: int, *, began: int, raft_index: int) -> EtcdResult:
    node = {"key": "/w/a", "value": "x", "modifiedIndex": index, "createdIndex": index}
    return EtcdResult("set", node, etcd_index=began, raft_index=raft_index)  # type: ignore[arg-type]


async def test_a_poll_that_began_before_the_store_took_a_snapshot_over_is_looked_into() -> None:
    """The raft index that came with it was that of the snapshot already."""
    last = 10 + SNAPSHOT_GAP
    source = Answers(event(last, began=10, raft_index=last), event(last + 1, began=last, raft_index=last + 1))
    polls = Polls(cast("Source", source))
    assert (await polls.poll(11, wait=1)).modifiedIndex == last
    with pytest.raises(EtcdEventIndexCleared):
        await polls.poll(last + 1, wait=1)
    assert source.asked == [11, last + 1, 11]


async def test_one_that_can_have_skipped_nothing_is_not() -> None:
    source = Answers(event(12, began=10, raft_index=20), event(13, began=12, raft_index=22))
    polls = Polls(cast("Source", source))
    assert [(await polls.poll(index, wait=1)).modifiedIndex for index in (11, 13)] == [12, 13]
    assert source.asked == [11, 13]
