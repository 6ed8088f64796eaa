"""The watch's own code on a model of a cluster, through many random histories of faults, in virtual time.

Whatever happens, every event comes once and in order, or the watch says that it has lost some.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable
from typing import Literal

import pytest

from etcdorm.v2 import EtcdEventIndexCleared, EternalWatch, polls, sequencer
from etcdorm.v2.polls import Polls
from etcdorm.v2.sequencer import Sequencer
from etcdorm.v2.stream import Streaming
from tests.support.model_cluster import GAP, Kind, ModelCluster
from tests.support.virtual import run

Outcome = Literal["all", "told"]

_SETTLED = 120.0
"""Virtual seconds after the last fault and the last write within which everything has to be there."""


@pytest.fixture(autouse=True)
def smaller_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequencer, "SNAPSHOT_GAP", GAP)
    monkeypatch.setattr(polls, "SNAPSHOT_GAP", GAP)
    monkeypatch.setattr(logging.getLogger("etcdorm.v2"), "disabled", True)


async def history(rng: random.Random, cluster: ModelCluster, *, steps: int) -> None:
    """Writes and faults at random moments; at the end all is well, and one last event is written."""
    kinds: tuple[Kind, ...] = ("event", "event", "event", "foreign", "refresh", "raft")
    for _ in range(steps):
        await asyncio.sleep(rng.choice((0.0, 0.001, 0.01, 0.3, 2.0, 12.0)))
        member = rng.choice(list(cluster.members.values()))
        match rng.randrange(12):
            case 0:
                member.cut_off = True
            case 1:
                member.stopped = True
            case 2:
                member.dead = True
                member.disconnect()
            case 3 | 4 | 5:
                member.cut_off = member.stopped = member.dead = False
                member.follow()
            case 6:
                for stream in member.streams:
                    stream.silent = True
            case 7:
                member.disconnect()
            case 8:
                kind = rng.choice(kinds)
                for _ in range(rng.randrange(GAP + 10)):
                    cluster.write(kind)
            case _:
                for _ in range(rng.randrange(4)):
                    cluster.write(rng.choice(kinds))
    for member in cluster.members.values():
        member.cut_off = member.stopped = member.dead = False
        member.follow()
    await asyncio.sleep(rng.choice((0.0, 1.0, 30.0)))
    cluster.write("event")


async def explore(seed: int, *, streams: bool) -> Outcome:
    rng = random.Random(seed)
    cluster = ModelCluster(rng, rng.choice((1, 3)))
    for _ in range(rng.randrange(1, 60)):
        cluster.write("event")
    start = max(1, cluster.log[-1].index - rng.randrange(5))
    watch = EternalWatch(cluster, start)
    found: list[int] = []
    last = asyncio.get_running_loop().create_future()

    async def consume() -> Outcome:
        try:
            async for event in watch:
                found.append(event.modifiedIndex)
                if rng.random() < 0.1:
                    await asyncio.sleep(rng.choice((0.0, 0.1, 5.0)))
                if last.done() and event.modifiedIndex == last.result() and found == cluster.true(start):
                    return "all"  # else it has to tell, and may do so a little later
        except EtcdEventIndexCleared:
            return "told"
        raise AssertionError("the watch has ended")

    async def write() -> None:
        await history(rng, cluster, steps=rng.randrange(5, 60))
        last.set_result(cluster.log[-1].index)

    if streams:
        await watch.__aenter__()
    consuming, writing = asyncio.create_task(consume()), asyncio.create_task(write())
    try:
        await writing
        if found == cluster.true(start):
            outcome: Outcome = "all"
        else:
            async with asyncio.timeout(_SETTLED):
                outcome = await consuming
    finally:
        consuming.cancel()
        await asyncio.wait([consuming])
        await watch.aclose()
    assert found == sorted(set(found)), "once and in order"
    assert set(found) <= set(cluster.true(start)), "nothing but what happened"
    assert len(asyncio.all_tasks()) == 1
    return outcome


def outcomes(seeds: range, *, streams: bool) -> Counter[Outcome]:
    return Counter(run(explore(seed, streams=streams)) for seed in seeds)


@pytest.mark.parametrize("streams", [True, False], ids=["stream", "polls"])
def test_every_event_comes_once_and_in_order_or_the_watch_says_so(streams: bool) -> None:
    seen = outcomes(range(300), streams=streams)
    assert min(seen["all"], seen["told"]) > 30


# -- the exploration finds what is broken ------------------------------------------------------------------------------


def without_filling(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Sequencer.opened

    def joined_at_once(self: Sequencer, index: int, raft_index: int) -> None:
        opened(self, index, raft_index)
        self.joined = True

    monkeypatch.setattr(Sequencer, "opened", joined_at_once)


def without_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check(self: Streaming) -> None:
        await asyncio.sleep(1)

    monkeypatch.setattr(Streaming, "_check", check)


def without_a_look_for_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sequencer, "suspicion", lambda self, raft_index: None)


def vouching_for_what_came_after_the_probe_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    verified = Sequencer.verified
    monkeypatch.setattr(Sequencer, "verified", lambda self, raft_index, end: verified(self, raft_index, self.next))


def forgetting_the_doubt_when_a_stream_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async def settle(self: Streaming) -> None:
        self._sequencer.unsure = False

    monkeypatch.setattr(Streaming, "_settle", settle)


def trusting_polls_that_have_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    async def clear_doubt(self: Polls, member: str | None, raft_index: int) -> None:
        self._doubt = None

    monkeypatch.setattr(Polls, "_clear_doubt", clear_doubt)


BROKEN: list[tuple[Callable[[pytest.MonkeyPatch], None], bool]] = [
    (without_filling, True),
    (without_checks, True),
    (without_a_look_for_skips, True),
    (vouching_for_what_came_after_the_probe_was_sent, True),
    (forgetting_the_doubt_when_a_stream_ends, True),
    (trusting_polls_that_have_waited, False),
]


@pytest.mark.parametrize(("breaks", "streams"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_a_broken_watch_is_found_out(
    breaks: Callable[[pytest.MonkeyPatch], None], streams: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks(monkeypatch)
    with pytest.raises((AssertionError, TimeoutError)):
        outcomes(range(2000), streams=streams)
