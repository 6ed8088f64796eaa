from __future__ import annotations

import pytest

from etcdorm.errors import NotFoundError, UsageError
from etcdorm.path import Path
from etcdorm.store import Collection, Record
from etcdorm.v2.line import Line
from etcdorm.v2.replica import Gap
from etcdorm.v2.result import EtcdResult, Node

LOG = Collection(Path.parse("/p/log"), 3, lambda path: True)
RESERVED = "@reserved:id"


def file(number: int, value: str, index: int = 0) -> Node:
    """One that is reserved expires, others do not."""
    node: Node = {"key": key(number), "value": value, "modifiedIndex": index or number, "createdIndex": number}
    if value == RESERVED:
        node["expiration"], node["ttl"] = "2030-01-01T00:00:00Z", 5
    return node


def key(number: int) -> str:
    return f"/p/log/{number:020}"


def directory(*nodes: Node) -> Node:
    return {"key": "/p/log", "dir": True, "nodes": list(nodes)}


def wrote(number: int, value: str, index: int, before: Node | None = None) -> EtcdResult:
    return EtcdResult("set", file(number, value, index), prev=before)


def gone(path: str, index: int, *, action: str = "delete") -> EtcdResult:
    return EtcdResult(action, {"key": path, "dir": not path[-1].isdigit(), "modifiedIndex": index, "createdIndex": 1})


def texts(records: list[Record]) -> str:
    return "".join(record.fields[""] for record in records)


@pytest.fixture
def line() -> Line:
    """It has given out 5, and stands in front of 7."""
    line = Line(LOG, "")
    nodes = directory(file(9, "c"), file(5, "a"), file(7, RESERVED))
    assert texts(line.replace(nodes, 9)) == "a"
    return line


def test_what_fills_a_reservation_comes_with_all_behind_it(line: Line) -> None:
    assert line.apply(wrote(10, "d", 10)) == []
    assert texts(line.apply(wrote(7, "b", 11, file(7, RESERVED)))) == "bcd"
    assert texts(line.apply(wrote(12, "e", 12))) == "e"


@pytest.mark.parametrize("action", ["expire", "compareAndDelete"])
def test_a_reservation_that_is_gone_holds_nothing_up(line: Line, action: str) -> None:
    assert texts(line.apply(gone(key(7), 10, action=action))) == "c"


def test_a_second_reservation_is_the_next_stop(line: Line) -> None:
    assert line.apply(wrote(10, RESERVED, 10)) == []
    assert line.apply(wrote(11, "d", 11)) == []
    assert texts(line.apply(gone(key(7), 12))) == "c"
    assert texts(line.apply(gone(key(10), 13))) == "d"


@pytest.mark.parametrize("path", ["/p/log", "/p", "/"])
def test_one_event_may_remove_all_that_waits(line: Line, path: str) -> None:
    event = EtcdResult("delete", {"key": path, "dir": True, "modifiedIndex": 10, "createdIndex": 1})
    assert line.apply(event) == []
    assert texts(line.apply(wrote(11, "d", 11))) == "d"


def test_what_is_changed_before_its_turn_comes_as_it_is_then(line: Line) -> None:
    assert line.apply(wrote(9, "C", 10, file(9, "c"))) == []
    assert texts(line.apply(gone(key(7), 11))) == "C"


def test_what_was_given_out_and_what_has_no_place_is_left_out(line: Line) -> None:
    line.apply(gone(key(7), 10))
    assert line.apply(wrote(5, "A", 11, file(5, "a"))) == []
    assert line.apply(wrote(7, "late", 12)) == []
    for other in ("/p/log/by-hand", "/p/logs/00000000000000000013", "/p/log/00000000000000000013/x", "/p/log/13"):
        event = EtcdResult("set", {"key": other, "value": "x", "modifiedIndex": 13, "createdIndex": 13})
        assert line.apply(event) == []


@pytest.mark.parametrize("before", [None, file(9, "other", 6)])
def test_an_event_that_replaced_what_is_not_known_is_a_gap(line: Line, before: Node | None) -> None:
    with pytest.raises(Gap):
        line.apply(wrote(9, "C", 10, before))


def test_an_event_of_an_unknown_key_that_was_there_is_a_gap(line: Line) -> None:
    with pytest.raises(Gap):
        line.apply(wrote(10, "d", 11, file(10, RESERVED)))


def test_a_reading_goes_on_after_the_last_one_given_out(line: Line) -> None:
    assert texts(line.replace(directory(file(5, "a"), file(9, "c"), file(12, "d")), 12)) == "cd"
    assert line.replace(None, 13) == []


def test_a_store_that_has_gone_back_is_told(line: Line) -> None:
    with pytest.raises(NotFoundError, match="made anew"):
        line.replace(directory(), 4)


def test_the_latest_stands_in_front_of_the_first_reservation() -> None:
    line = Line(LOG, None)
    assert line.replace(directory(file(9, "c"), file(5, "a"), file(7, RESERVED)), 9, initial=True) == []
    assert texts(line.apply(wrote(7, "b", 10, file(7, RESERVED)))) == "bc"


@pytest.mark.parametrize("name", ["5", "by-hand", f"{5:021}", f"{5:020}\n", "٥" * 20])
def test_only_a_name_that_etcd_may_have_made_is_a_place(name: str) -> None:
    with pytest.raises(UsageError, match="not the name of a key"):
        Line(LOG, name)
