"""A packed record is the one that its snapshot tells of, or there is none."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etcdorm.path import Path
from etcdorm.store.types import Record
from etcdorm.v2.protocol.commit import Commit, reservation
from etcdorm.v2.protocol.packed import Packed, Packer
from etcdorm.v2.protocol.snapshot import Key, Snapshot
from etcdorm.v2.result import Node

PATH = Path.parse("/n/x")
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
names = st.sampled_from(["a", "b", "@null/a", "sub/@empty", "sub/a", "sub/deep/b", "other/c"])


def tree(keys: dict[str, str], expiring: frozenset[str] = frozenset()) -> Node:
    """The JSON of a recursive GET of a directory with these keys."""
    index = count(10)
    root = directory(PATH)
    directories = {"": root}
    for name, text in keys.items():
        parts = name.split("/")
        for length in range(1, len(parts)):
            above, below = "/".join(parts[: length - 1]), "/".join(parts[:length])
            if below not in directories:
                directories[below] = directory(PATH / below)
                directories[above]["nodes"].append(directories[below])
        created = next(index)
        leaf = Node(key=str(PATH / name), value=text, createdIndex=created, modifiedIndex=created + len(text))
        if name in expiring:
            leaf |= {"expiration": "2030-01-01T00:00:00Z", "ttl": 5}
        directories["/".join(parts[:-1])]["nodes"].append(leaf)
    return root


def directory(path: Path) -> Node:
    return Node(key=str(path), dir=True, nodes=[], createdIndex=1, modifiedIndex=1)


@st.composite
def usual(draw: st.DrawFn) -> dict[str, str]:
    """The keys of a record as a save leaves it, in any order, as etcd lists them."""
    fields = draw(st.dictionaries(names, texts))
    pending, fence = draw(st.dictionaries(names, texts | st.none())), draw(st.none() | st.just(3))
    commit = Commit("id", ("earlier",), pending, fence=fence)
    keys = {**fields, "@commit": commit.text, "@applied": "id"}
    return {name: keys[name] for name in draw(st.permutations(sorted(keys)))}


@given(st.lists(usual(), min_size=1, max_size=4))
@settings(database=None, deadline=None)
def test_what_saves_leave_is_packed_with_all_that_its_snapshot_holds(records: list[dict[str, str]]) -> None:
    packer = Packer()
    for keys in records:
        assert (same_as_its_snapshot(packer, tree(keys)) is None) == ('"fence"' in keys["@commit"])


@given(usual(), usual(), st.data())
@settings(database=None, deadline=None, max_examples=200)
def test_anything_else_is_packed_right_or_not_at_all(
    before: dict[str, str], keys: dict[str, str], data: st.DataObject
) -> None:
    packer = Packer()
    packer.read(PATH, tree(before))
    leased = [Commit("id", pending={"a": "1"}, deleted=deleted, lease="L") for deleted in (False, True)]
    heads = [each.text for each in (Commit("later"), Commit("id", deleted=True), *leased)]
    odd = {
        "@commit": st.sampled_from([*heads, reservation("id"), "", "{}", '{"id":"id"}']),
        "@applied": st.sampled_from(["id", "earlier", reservation("id")]),
        "@lease": st.just("L"),
        "a": st.just(reservation("id")),
        "sub/@commit": st.just(Commit("id").text),
    }
    for name in data.draw(st.sets(st.sampled_from(sorted(odd)))):
        keys[name] = data.draw(odd[name])
    for name in data.draw(st.sets(st.sampled_from(["@commit", "@applied", "a"]))):
        keys.pop(name, None)
    expiring = data.draw(st.frozensets(st.sampled_from(["@commit", "@applied", "@lease", "a", "sub/a"])))
    same_as_its_snapshot(packer, tree(keys, expiring))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("@applied", "another id"),
        ("@lease", "L"),
        ("@commit", Commit("id", deleted=True).text),
        ("@commit", Commit("id", lease="L").text),
        ("@commit", "no commit record"),
        ("sub/@commit", Commit("id").text),
    ],
)
def test_what_is_unusual_is_left_to_a_snapshot(name: str, text: str) -> None:
    keys = {"@commit": Commit("id").text, "@applied": "id", "a": "1"}
    assert Packer().read(PATH, tree(keys)) is not None
    assert Packer().read(PATH, tree({**keys, name: text})) is None


def test_what_expires_and_what_is_a_key_or_a_foreign_directory_is_left_to_a_snapshot() -> None:
    keys = {"@commit": Commit("id").text, "@applied": "id", "a": "1"}
    assert Packer().read(PATH, tree(keys, frozenset("a"))) is None
    assert Packer().read(PATH, tree({"a": "1"})) is None
    assert Packer().read(PATH, Node(key="/n/x", value="{}", createdIndex=1, modifiedIndex=1)) is None
    assert Packer().read(Path(), Node(dir=True, nodes=[])) is None


def same_as_its_snapshot(packer: Packer, node: Node) -> Record | None:
    """The packed record, if any, which must be what the snapshot tells."""
    record = packer.read(PATH, node, "cluster")
    if record is not None:
        snapshot = Snapshot.of_node(PATH, node)
        assert record == snapshot.record("cluster")
        assert record.origin == "cluster"
        assert isinstance(record.detail, Packed)
        unpacked = record.detail.unpack()
        created = {name: Key(key.value, key.index) for name, key in snapshot.keys.items() if name != "@commit"}
        assert unpacked == snapshot.with_keys(created)
    return record
