from __future__ import annotations

import pytest

from etcdorm.path import Path
from etcdorm.store import Collection, Event
from etcdorm.v2.replica import Gap, Replica
from etcdorm.v2.result import EtcdResult, Node

NODES = Collection(Path.parse("/p/nodes"), 3, lambda path: True)


def file(key: str, value: str, index: int, *, expires: bool = False) -> Node:
    node: Node = {"key": key, "value": value, "modifiedIndex": index, "createdIndex": index}
    if expires:
        node["expiration"] = "2030-01-01T00:00:00Z"
    return node


def wrote(key: str, value: str, index: int, before: Node | None = None) -> EtcdResult:
    return EtcdResult("set", file(key, value, index), prev=before)


def gone(key: str, index: int, *, action: str = "delete", dir: bool = False) -> EtcdResult:
    return EtcdResult(action, {"key": key, "dir": dir, "modifiedIndex": index, "createdIndex": 1})


def told(events: list[Event]) -> list[tuple[str, dict[str, str] | None]]:
    return [(str(event.path), None if event.new is None else dict(event.new.fields)) for event in events]


@pytest.fixture
def replica() -> Replica:
    replica = Replica(NODES)
    nodes: Node = {
        "key": "/p/nodes",
        "dir": True,
        "nodes": [file("/p/nodes/a/k", "1", 2), file("/p/nodes/b/k", "1", 3)],
    }
    events = replica.replace(nodes, 5, initial=True)
    assert told(events) == [("/p/nodes/a", {"k": "1"}), ("/p/nodes/b", {"k": "1"})]
    return replica


def test_a_write_shows_in_its_record(replica: Replica) -> None:
    events = replica.apply(wrote("/p/nodes/a/k", "2", 9, file("/p/nodes/a/k", "1", 2)))
    assert told(events) == [("/p/nodes/a", {"k": "2"})]
    assert events[0].old is not None
    assert events[0].old.fields == {"k": "1"}


def test_a_write_that_changes_no_text_is_no_event(replica: Replica) -> None:
    assert replica.apply(wrote("/p/nodes/a/k", "1", 9, file("/p/nodes/a/k", "1", 2))) == []


def test_a_record_that_can_not_be_read_is_told_with_what_is_wrong(replica: Replica) -> None:
    (broken,) = replica.apply(wrote("/p/nodes/a/@commit", "no JSON", 9))
    assert broken.old is not None
    assert broken.new is not None
    assert broken.new.error is not None
    assert broken.new.error.failures[0].key == "/p/nodes/a/@commit"
    before = file("/p/nodes/a/@commit", "no JSON", 9)
    (mended,) = replica.apply(wrote("/p/nodes/a/@commit", '{"id":"x"}', 10, before))
    assert mended.new is not None
    assert (mended.old, mended.new.error) == (broken.new, None)


@pytest.mark.parametrize("key", ["/p/nodes", "/p", "/"])
def test_one_event_may_remove_the_whole_collection(replica: Replica, key: str) -> None:
    events = replica.apply(gone(key, 9, action="expire", dir=True))
    assert told(events) == [("/p/nodes/a", None), ("/p/nodes/b", None)]
    assert all(event.expired for event in events)


def test_one_event_may_remove_a_whole_record(replica: Replica) -> None:
    assert told(replica.apply(gone("/p/nodes/a", 9, dir=True))) == [("/p/nodes/a", None)]


def test_events_of_siblings_hidden_keys_and_other_levels_are_left_out(replica: Replica) -> None:
    assert replica.apply(wrote("/p/nodesother/a/k", "x", 9)) == []
    assert replica.apply(wrote("/p/nodes/a/_hidden", "x", 10)) == []
    assert replica.apply(gone("/p/nodesother", 11, dir=True)) == []
    assert (
        replica.apply(EtcdResult("set", {"key": "/p/nodes", "dir": True, "modifiedIndex": 12, "createdIndex": 12}))
        == []
    )


@pytest.mark.parametrize("before", [None, file("/p/nodes/a/k", "other", 5)])
def test_an_event_that_replaced_what_was_never_told_is_a_gap(replica: Replica, before: Node | None) -> None:
    with pytest.raises(Gap):
        replica.apply(wrote("/p/nodes/a/k", "2", 9, before))


def test_an_event_on_a_key_that_was_never_told_is_a_gap(replica: Replica) -> None:
    with pytest.raises(Gap):
        replica.apply(wrote("/p/nodes/c/k", "2", 9, file("/p/nodes/c/k", "1", 5)))


def test_a_refreshed_key_has_moved_without_an_event_and_is_no_gap(replica: Replica) -> None:
    replica.apply(EtcdResult("set", file("/p/nodes/c", "1", 4, expires=True)))
    events = replica.apply(wrote("/p/nodes/c", "2", 9, file("/p/nodes/c", "1", 7, expires=True)))
    assert told(events) == [("/p/nodes/c", {"": "2"})]


def test_reading_anew_tells_what_differs_and_marks_it(replica: Replica) -> None:
    nodes: Node = {
        "key": "/p/nodes",
        "dir": True,
        "nodes": [file("/p/nodes/b/k", "1", 3), file("/p/nodes/c/k", "3", 8)],
    }
    events = replica.replace(nodes, 9, initial=False)
    assert told(events) == [("/p/nodes/a", None), ("/p/nodes/c", {"k": "3"})]
    assert all(event.gap for event in events)
    assert replica.replace(nodes, 9, initial=False) == []
    assert told(replica.replace(None, 9, initial=False)) == [("/p/nodes/b", None), ("/p/nodes/c", None)]
