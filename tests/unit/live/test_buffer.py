"""What waits for a consumer, whatever comes and whenever it is taken."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

from hypothesis import given, settings
from hypothesis import strategies as st

from etcdorm.live.buffer import Buffer
from etcdorm.path import Path
from etcdorm.store import Event, Record, Version

PATHS = [Path.parse(f"/nodes/{name}") for name in "abc"]


def record(path: Path, text: str, index: int = 1) -> Record:
    return Record(path, {"": text}, Version(index), index, index)


def changed(path: Path, old: str | None, new: str | None, *, initial: bool = False) -> Event:
    before, after = (None if text is None else record(path, text) for text in (old, new))
    return Event(path, before, after, initial=initial)


def text_of(found: Record | None) -> str | None:
    return None if found is None else found.fields[""]


def texts(event: Event) -> tuple[str | None, str | None]:
    return text_of(event.old), text_of(event.new)


def all_of(buffer: Buffer) -> list[Event]:
    return list(iter(buffer.take, None))


A, B, C = PATHS
TAKE = None
STEPS = st.lists(st.one_of(st.just(TAKE), st.tuples(st.sampled_from(PATHS), st.sampled_from("xyz"))), max_size=60)


class Driver:
    """Puts changes that follow on each other, and takes them, noting all of it."""

    def __init__(self, buffer: Buffer, initial: int) -> None:
        self.buffer = buffer
        self.state: dict[Path, str | None] = {}
        self.put: list[Event] = []
        self.taken: list[Event] = []
        self.starts = 0
        for path in PATHS[:initial]:
            self.change(path, "x", initial=True)

    def change(self, path: Path, text: str, *, initial: bool = False) -> None:
        """Set the text, or delete the record that has this text already; no two events are equal."""
        old = self.state.get(path)
        new = None if old == text else text
        event = changed(path, old, new, initial=initial)
        if event.old is not None:
            event = replace(event, old=replace(event.old, created=len(self.put)))
        if event.new is not None:
            event = replace(event, new=replace(event.new, created=len(self.put)))
        self.state[path] = new
        self.put.append(event)
        self.starts += self.buffer.put(event)

    def take(self) -> None:
        event = self.buffer.take()
        if event is not None:
            self.taken.append(event)

    def run(self, steps: list[tuple[Path, str] | None]) -> None:
        for step in steps:
            if step is None:
                self.take()
            else:
                self.change(*step)


@settings(deadline=None)
@given(STEPS, st.integers(1, 4), st.integers(0, 3))
def test_what_is_taken_leads_from_each_told_state_to_the_newest(
    steps: list[tuple[Path, str] | None], limit: int, initial: int
) -> None:
    driver = Driver(Buffer(limit), initial)
    for step in steps:
        driver.run([step])
        assert len(driver.buffer) <= limit + len(PATHS)
    driver.taken += all_of(driver.buffer)
    told: dict[Path, str | None] = {}
    for event in driver.taken:
        assert text_of(event.old) == told.get(event.path)
        assert texts(event)[0] != texts(event)[1]
        told[event.path] = text_of(event.new)
    assert {path: text for path, text in told.items() if text} == {
        path: text for path, text in driver.state.items() if text
    }


@settings(deadline=None)
@given(STEPS, st.integers(1, 4), st.integers(0, 3))
def test_between_marked_changes_and_without_any_every_change_comes_as_it_was(
    steps: list[tuple[Path, str] | None], limit: int, initial: int
) -> None:
    driver = Driver(Buffer(limit), initial)
    driver.run(steps)
    driver.taken += all_of(driver.buffer)
    driver.change(Path.parse("/nodes/last"), "x")
    driver.take()
    runs = [list(run) for is_marked, run in groupby(driver.taken, lambda event: event.gap) if not is_marked]
    starts = [driver.put.index(run[0]) for run in runs]
    assert [driver.put[start : start + len(run)] for start, run in zip(starts, runs, strict=True)] == runs
    assert starts == sorted(starts)
    if not driver.starts:
        assert driver.taken == driver.put
    if not driver.taken[0].gap:
        assert starts[0] == 0


@settings(deadline=None)
@given(STEPS, st.integers(1, 4), st.integers(0, 3))
def test_a_strict_one_gives_every_change_up_to_where_it_is_over(
    steps: list[tuple[Path, str] | None], limit: int, initial: int
) -> None:
    driver = Driver(Buffer(limit, strict=True), initial)
    driver.run(steps)
    driver.taken += all_of(driver.buffer)
    assert driver.taken == driver.put[: len(driver.taken)]
    assert driver.buffer.over == (len(driver.taken) < len(driver.put))
    assert driver.starts == 0


def test_within_the_limit_every_change_comes_as_it_was() -> None:
    buffer = Buffer(2)
    put = [changed(A, None, "x"), changed(A, "x", "y")]
    assert not any(buffer.put(event) for event in put)
    assert all_of(buffer) == put


def test_beyond_the_limit_each_record_has_one_change_in_the_order_of_the_first() -> None:
    buffer = Buffer(2)
    events = [changed(A, None, "x"), changed(B, None, "x"), changed(A, "x", "y"), changed(C, None, "x")]
    assert [buffer.put(event) for event in events] == [False, False, True, False]
    found = all_of(buffer)
    assert [(event.path, texts(event), event.gap) for event in found] == [
        (A, (None, "y"), True),
        (B, (None, "x"), True),
        (C, (None, "x"), True),
    ]


def test_many_records_are_no_loss_as_long_as_none_changes_twice() -> None:
    buffer = Buffer(1)
    events = [changed(path, None, "x") for path in PATHS]
    assert not any(buffer.put(event) for event in events)
    assert all_of(buffer) == events


def test_the_records_of_the_beginning_do_not_count() -> None:
    buffer = Buffer(1)
    initial = [changed(path, None, "x", initial=True) for path in PATHS]
    update = changed(A, "x", "y")
    assert not any(buffer.put(event) for event in (*initial, update))
    assert all_of(buffer) == [*initial, update]


def test_what_comes_and_goes_unseen_leaves_its_mark_on_the_next_change() -> None:
    buffer = Buffer(1)
    for event in (changed(A, None, "x"), changed(A, "x", None)):
        buffer.put(event)
    assert (len(buffer), buffer.take()) == (0, None)
    for event in (changed(B, None, "x"), changed(B, "x", "y")):
        buffer.put(event)
        found = buffer.take()
        assert found is not None
        assert found.gap == (texts(event)[0] is None)


def test_a_consumer_that_has_caught_up_gets_every_change_again() -> None:
    buffer = Buffer(1)
    for event in (changed(A, None, "x"), changed(A, "x", "y")):
        buffer.put(event)
    assert [event.gap for event in all_of(buffer)] == [True]
    buffer.put(changed(A, "y", "z"))
    assert [event.gap for event in all_of(buffer)] == [False]
    assert not buffer.put(changed(A, "z", "x"))
    assert buffer.put(changed(A, "x", "y"))
