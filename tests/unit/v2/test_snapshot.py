from __future__ import annotations

import pytest

from etcdorm.errors import DecodeError
from etcdorm.path import Path
from etcdorm.v2.protocol.commit import Commit, reservation
from etcdorm.v2.protocol.snapshot import Key, Snapshot
from etcdorm.v2.result import Node

PATH = Path.parse("/n/x")


def snapshot(commit: Commit | None, **texts: str) -> Snapshot:
    keys = {name: Key(text, index) for index, (name, text) in enumerate(texts.items(), start=2)}
    if commit is not None:
        keys["@commit"] = Key(commit.text, 1)
    return Snapshot(PATH, keys)


def applied(of: Snapshot, id: str) -> Snapshot:
    return of.with_keys({"@applied": Key(id, 9)})


def test_a_commit_record_reads_back() -> None:
    commit = Commit("id", ("a", "b"), {"k": "v", "gone": None}, lease="L", timed="a", fence=7, deleted=True)
    assert Commit.from_text(commit.text) == commit
    assert Commit.from_text(Commit("id").text) == Commit("id")


@pytest.mark.parametrize(
    "text", ["", "x", "[]", "{}", '{"id":1}', '{"id":"a","pending":[]}', '{"id":"a","pending":{"k":1}}',
             '{"id":"a","fence":"x"}', '{"id":"a","lease":1}']
)  # fmt: skip
def test_what_is_no_commit_record_is_told_with_its_key(text: str) -> None:
    damaged = Snapshot(PATH, {"@commit": Key(text, 1)})
    with pytest.raises(DecodeError, match="/n/x/@commit"):
        damaged.record()


def test_pending_changes_are_laid_over_the_plain_keys_until_they_are_applied() -> None:
    commit = Commit("id", pending={"a": "new", "b": None, "c": "more"})
    read = snapshot(commit, a="old", b="old", z="z")
    assert read.fields() == {"a": "new", "c": "more", "z": "z"}
    assert applied(read, "id").fields() == {"a": "old", "b": "old", "z": "z"}
    assert applied(read, "another").fields() == {"a": "new", "c": "more", "z": "z"}


def test_reserved_keys_are_not_there_for_readers() -> None:
    reserved = Key(reservation("id"), 3, expires=True)
    assert Snapshot(PATH, {"a": reserved}).record() is None
    assert Snapshot(PATH, {"@commit": reserved, "a": Key("1", 2)}).fields() == {"a": "1"}
    assert Snapshot(PATH, {"": reserved}).record() is None


def test_a_users_text_that_looks_like_a_reservation_is_just_a_text() -> None:
    assert Snapshot(PATH, {"a": Key("@reserved:me", 2)}).fields() == {"a": "@reserved:me"}


def test_a_tombstone_and_a_lapsed_lease_are_no_record() -> None:
    assert snapshot(Commit("id", deleted=True), a="1").record() is None
    leased = snapshot(Commit("id", lease="L"), a="1")
    assert leased.record() is None
    assert leased.with_keys({"@lease": Key("other", 5, expires=True)}).record() is None
    alive = leased.with_keys({"@lease": Key("L", 5, expires=True, ttl=9)}).record()
    assert alive is not None
    assert alive.ttl == 9


def test_a_directory_with_a_commit_record_of_its_own_belongs_to_another_record() -> None:
    def file(key: str) -> Node:
        return {"key": key, "value": "v", "modifiedIndex": 3, "createdIndex": 3}

    node: Node = {
        "key": "/n/x", "dir": True, "modifiedIndex": 1, "createdIndex": 1,
        "nodes": [
            file("/n/x/a"),
            {"key": "/n/x/mine", "dir": True, "nodes": [file("/n/x/mine/b")]},
            {"key": "/n/x/sub", "dir": True, "nodes": [file("/n/x/sub/@commit"), file("/n/x/sub/c")]},
        ],
    }  # fmt: skip
    read = Snapshot.of_node(PATH, node)
    assert (set(read.keys), read.directories) == ({"a", "mine/b"}, ("mine",))
    flat = {"a": Key("v", 3), "mine/b": Key("v", 3), "sub/@commit": Key("v", 3), "sub/c": Key("v", 3)}
    assert set(Snapshot.of_keys(PATH, flat).keys) == {"a", "mine/b"}


def test_a_key_past_its_ttl_and_not_yet_removed_has_none_left_but_not_none() -> None:
    node: Node = {
        "key": "/k",
        "value": "v",
        "modifiedIndex": 3,
        "createdIndex": 3,
        "expiration": "2030-01-01T00:00:00Z",
    }
    assert Key.of_node(node).ttl == 0
    assert Key.of_node({"key": "/k", "value": "v", "modifiedIndex": 3, "createdIndex": 3}).ttl is None


def test_what_stands_in_the_way_of_a_commit_is_not_of_the_record() -> None:
    commit = Commit("id", pending={"a": "1", "m/x/b": "2", "gone": None})
    read = snapshot(commit, **{"a/deep": "0", "m": "0", "m/x": "0", "gone": "0", "other/c": "3"})
    assert read.fields() == {"a": "1", "m/x/b": "2", "other/c": "3"}
    assert applied(snapshot(commit, **{"a/deep": "0"}), "id").fields() == {"a/deep": "0"}
