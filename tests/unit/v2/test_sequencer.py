"""A stream that may fall silent, polls beside it, and what comes out: every event, in order, once."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etcdorm.v2.pace import Pace
from etcdorm.v2.result import EtcdResult, Node
from etcdorm.v2.sequencer import SNAPSHOT_GAP, Sequencer, Suspicion


def event(index: int) -> EtcdResult:
    return EtcdResult("set", Node(key="/k", value=str(index), modifiedIndex=index, createdIndex=index))


def taken(sequencer: Sequencer) -> list[int]:
    return [each.modifiedIndex for each in sequencer.ready]


def test_a_stream_that_begins_where_the_watch_does_needs_no_poll() -> None:
    sequencer = Sequencer(11)
    sequencer.opened(10, 1000)
    sequencer.streamed(event(12))
    assert taken(sequencer) == [12]


def test_a_stream_s_events_wait_until_the_gap_before_them_is_closed() -> None:
    sequencer = Sequencer(5)
    sequencer.opened(10, 1000)
    sequencer.streamed(event(12))
    sequencer.streamed(event(14))
    assert taken(sequencer) == []
    sequencer.polled(event(7))
    assert taken(sequencer) == [7]
    sequencer.polled(event(12))
    assert taken(sequencer) == [7, 12, 14]


def test_a_poll_that_passed_the_stream_s_beginning_closes_the_gap() -> None:
    sequencer = Sequencer(5)
    sequencer.opened(10, 1000)
    sequencer.passed(10)
    sequencer.streamed(event(12))
    assert taken(sequencer) == [12]


def test_a_poll_that_passed_an_earlier_index_does_not_close_it() -> None:
    sequencer = Sequencer(5)
    sequencer.opened(10, 1000)
    sequencer.streamed(event(12))
    sequencer.passed(9)
    assert (taken(sequencer), sequencer.next) == ([], 10)


def test_what_comes_twice_is_taken_once() -> None:
    sequencer = Sequencer(11)
    sequencer.opened(10, 1000)
    for index in (12, 12, 13):
        sequencer.streamed(event(index))
    sequencer.polled(event(12))
    assert taken(sequencer) == [12, 13]


def test_after_a_stream_has_ended_polls_go_on() -> None:
    sequencer = Sequencer(11)
    sequencer.opened(10, 1000)
    sequencer.streamed(event(12))
    sequencer.closed()
    assert sequencer.behind(13)
    sequencer.polled(event(13))
    sequencer.opened(20, 1000)
    sequencer.streamed(event(21))
    assert taken(sequencer) == [12, 13]


def streaming(*indexes: int) -> Sequencer:
    """One whose stream was opened at the raft index 1000, and has brought these events."""
    sequencer = Sequencer(11)
    sequencer.opened(10, 1000)
    for index in indexes:
        sequencer.streamed(event(index))
    return sequencer


def test_a_member_that_took_few_entries_was_sent_no_snapshot() -> None:
    assert streaming(12).suspicion(1000 + SNAPSHOT_GAP - 1) is None


def test_a_member_that_took_many_entries_may_have_been_sent_one() -> None:
    assert streaming(12).suspicion(1000 + SNAPSHOT_GAP) == Suspicion(11, 13, frozenset([12]))


def test_a_stream_that_brought_nothing_has_skipped_nothing() -> None:
    assert streaming().suspicion(1000 + SNAPSHOT_GAP) is None


def test_what_came_after_a_check_had_begun_is_left_to_the_next_one() -> None:
    sequencer = streaming(12, 14)
    sequencer.verified(2000, 13)
    assert sequencer.suspicion(2000 + SNAPSHOT_GAP) == Suspicion(13, 15, frozenset([14]))


def test_a_stream_that_has_ended_is_still_to_be_checked() -> None:
    sequencer = streaming(12)
    sequencer.closed()
    sequencer.polled(event(13))
    assert sequencer.suspicion(1000 + SNAPSHOT_GAP) == Suspicion(11, 14, frozenset([12, 13]))
    sequencer.verified(9000, 14)
    assert not sequencer.unsure


def test_polls_alone_leave_nothing_to_check() -> None:
    sequencer = Sequencer(11)
    sequencer.polled(event(12))
    assert (sequencer.unsure, sequencer.suspicion(SNAPSHOT_GAP)) == (False, None)


@settings(max_examples=500)
@given(data=st.data())
def test_whatever_the_stream_does_the_true_events_come_in_order(data: st.DataObject) -> None:
    """Events happen; streams open, deliver late, fall silent; polls answer from the history at any moment."""
    true: list[int] = []
    now = 10
    sequencer = Sequencer(11)
    streaming: list[int] | None = None  # what the open stream has still to deliver
    silent = False
    for _ in range(data.draw(st.integers(0, 60))):
        step = data.draw(st.sampled_from(["happen", "other", "open", "deliver", "silence", "close", "poll"]))
        if step in ("happen", "other"):
            now += 1
            if step == "happen":
                true.append(now)
                if streaming is not None and not silent:
                    streaming.append(now)
        elif step == "open":
            sequencer.opened(now, 1000)
            streaming, silent = [], False
        elif step == "deliver" and streaming:
            sequencer.streamed(event(streaming.pop(0)))
        elif step == "silence":
            silent = True
        elif step == "close":
            sequencer.closed()
            streaming = None
        elif step == "poll":
            found = next((index for index in true if index >= sequencer.next), None)
            if found is None:
                sequencer.passed(now)
            else:
                if sequencer.joined and sequencer.behind(found):
                    sequencer.closed()  # the runner's part: a joined stream that does not bring it is given up
                    streaming = None
                sequencer.polled(event(found))
        assert taken(sequencer) == true[: len(taken(sequencer))]
    sequencer.closed()
    while (found := next((index for index in true if index >= sequencer.next), None)) is not None:
        sequencer.polled(event(found))
    assert taken(sequencer) == true


@pytest.mark.parametrize(("rate", "least", "most"), [(0, 10, 10), (1, 10, 10), (5000, 0.05, 0.11), (500, 0.5, 1)])
def test_a_poll_is_renewed_within_the_history(rate: int, least: float, most: float) -> None:
    pace = Pace(10)
    now, index = 0.0, 100
    for _ in range(20):
        pace.registered(index, now)
        now += pace.seconds
        index += int(rate * pace.seconds)
    assert least <= pace.seconds <= most
