"""Two edits of one model, put together."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, computed_field

from etcdorm import AsJson, EtcdModel, Merge, ModelError
from etcdorm.mapping.merge import edited, merge
from etcdorm.mapping.values import same


class Limits(BaseModel):
    cpu: int = 1
    memory: int = 1
    hits: Annotated[int, Merge("max")] = 0


class Node(EtcdModel, path="/nodes/{name}"):
    name: str = "n"
    host: str = "h"
    port: int = 1
    labels: dict[str, str] = {}
    limits: Limits = Limits()
    whole: Annotated[dict[str, int], AsJson()] = {}
    seen: Annotated[int | None, Merge("max")] = 0
    first: Annotated[int, Merge("min")] = 0
    tags: Annotated[set[str], Merge("union")] = set()
    hosts: Annotated[list[str], Merge("union")] = []
    mine: Annotated[str, Merge("mine")] = ""
    theirs: Annotated[str | None, Merge("theirs")] = ""
    total: Annotated[int, Merge(lambda base, mine, theirs: mine + theirs - base)] = 0
    nested: dict[str, Limits] = {}
    secret: str = Field(default="", exclude=True)


BASE = Node(labels={"a": "1", "b": "2"}, nested={"x": Limits()}, hosts=["a", "b"], tags={"a", "b"})


def put(**fields: object) -> Node:
    return BASE.model_copy(deep=True, update=fields)


def merged(mine: Node, theirs: Node) -> Node:
    found = merge(BASE, mine, theirs)
    assert found.clashes == ()
    return found.model


def test_edits_of_different_fields_both_survive() -> None:
    assert merged(put(host="mine"), put(port=2)) == put(host="mine", port=2)


def test_the_same_edit_on_both_sides_is_one() -> None:
    assert merged(put(port=2), put(port=2)) == put(port=2)


def test_one_field_edited_twice_clashes() -> None:
    assert merge(BASE, put(port=2, host="x"), put(port=3, host="y")).clashes == ("host", "port")


def test_entries_of_a_map_are_merged_one_by_one() -> None:
    mine, theirs = put(labels={"a": "9", "b": "2", "m": "1"}), put(labels={"a": "1", "t": "1"})
    assert merged(mine, theirs).labels == {"a": "9", "m": "1", "t": "1"}


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [({"a": "8", "b": "2"}, {"a": "9", "b": "2"}), ({"b": "2"}, {"a": "9", "b": "2"})],
    ids=["edited twice", "edited and taken out"],
)
def test_an_entry_of_a_map_that_both_changed_clashes(mine: dict[str, str], theirs: dict[str, str]) -> None:
    assert merge(BASE, put(labels=mine), put(labels=theirs)).clashes == ("labels.a",)


def test_an_entry_added_twice_clashes_unless_it_is_the_same() -> None:
    mine, theirs = {**BASE.labels, "m": "1", "s": "0"}, {**BASE.labels, "m": "2", "s": "0"}
    assert merge(BASE, put(labels=mine), put(labels=theirs)).clashes == ("labels.m",)


def test_models_within_are_merged_field_by_field() -> None:
    mine = put(limits=Limits(cpu=2), nested={"x": Limits(cpu=2), "y": Limits()})
    theirs = put(limits=Limits(memory=2), nested={"x": Limits(memory=2)})
    found = merged(mine, theirs)
    assert found.limits == Limits(cpu=2, memory=2)
    assert found.nested == {"x": Limits(cpu=2, memory=2), "y": Limits()}


def test_a_clash_in_a_model_within_is_named_by_its_path() -> None:
    mine, theirs = put(nested={"x": Limits(cpu=2)}), put(nested={"x": Limits(cpu=3)})
    assert merge(BASE, mine, theirs).clashes == ("nested.x.cpu",)


def test_what_is_kept_as_json_is_edited_as_a_whole() -> None:
    assert merge(BASE, put(whole={"a": 1}), put(whole={"b": 1})).clashes == ("whole",)


def test_markers_say_what_becomes_of_a_field_that_both_edited() -> None:
    mine = put(seen=5, first=-3, mine="m", theirs="m", total=2, tags={"a", "m"}, hosts=["m", "a", "b"])
    theirs = put(seen=7, first=-2, mine="t", theirs="t", total=3, tags={"a", "b", "t"}, hosts=["a", "t"])
    found = merged(mine, theirs)
    assert (found.seen, found.first, found.mine, found.theirs, found.total) == (7, -3, "m", "t", 5)
    assert found.tags == {"a", "m", "t"}  # "b" was taken away by one
    assert found.hosts == ["m", "a", "t"]


def test_equal_edits_go_through_a_rule_too() -> None:
    assert merged(put(total=1), put(total=1)).total == 2


def test_markers_count_in_models_within() -> None:
    assert merged(put(limits=Limits(hits=3)), put(limits=Limits(hits=2))).limits.hits == 3


def test_an_edit_of_one_side_alone_is_taken_whatever_the_marker() -> None:
    assert merged(put(seen=-5), put()).seen == -5
    assert merged(put(), put(theirs=None, seen=None)).seen is None


def test_none_gives_way_to_a_value() -> None:
    assert merged(put(seen=None), put(seen=-5)).seen == -5


def test_without_rules_all_that_both_edited_is_named() -> None:
    assert merge(BASE, put(seen=5), put(seen=7), rules=False).clashes == ("seen",)


def test_extra_fields_are_merged_as_entries() -> None:
    class Open(EtcdModel, path="/open/{name}", layout="document", extra="allow"):
        name: str = "n"

    base = Open.model_validate({"a": 1, "b": 1, "c": 1})
    mine, theirs = Open.model_validate({"a": 2, "b": 1, "c": 1}), Open.model_validate({"a": 1, "c": 1, "d": 4})
    assert merge(base, mine, theirs).model == Open.model_validate({"a": 2, "c": 1, "d": 4})
    assert edited(base, theirs) == ("b", "d")


def test_a_frozen_model_is_merged_into_a_new_one() -> None:
    class Fixed(EtcdModel, path="/fixed/{name}", frozen=True):
        name: str = "n"
        a: int = 0
        b: int = 0

    assert merge(Fixed(), Fixed(a=1), Fixed(b=1)).model == Fixed(a=1, b=1)


def test_what_differs_is_named_down_to_the_entry() -> None:
    after = put(port=2, labels={"a": "1", "c": "3"}, limits=Limits(cpu=5), whole={"a": 1}, secret="x")
    assert edited(BASE, after) == ("port", "labels.b", "labels.c", "limits.cpu", "whole")


def test_a_rule_that_is_none_is_refused() -> None:
    with pytest.raises(ModelError, match="how must be one of"):
        Merge("latest")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="is called with base, mine and theirs"):
        Merge(lambda base, mine: mine)  # type: ignore[arg-type, misc]
    Merge(max)  # of which Python can't tell how it is called


class Cached(EtcdModel, path="/cached/{name}"):
    name: str = "n"
    a: int = 1
    b: int = 1

    @computed_field  # type: ignore[prop-decorator]
    @cached_property
    def double(self) -> int:
        return self.a * 2


def test_what_was_computed_of_other_values_is_computed_anew() -> None:
    mine = Cached(b=2)
    assert mine.double == 2
    assert merge(Cached(), mine, Cached(a=5)).model.double == 10


nodes = st.builds(
    Node,
    host=st.sampled_from("hxy"),
    port=st.integers(1, 3),
    labels=st.dictionaries(st.sampled_from("abc"), st.sampled_from("12")),
    limits=st.builds(Limits, cpu=st.integers(1, 2), memory=st.integers(1, 2)),
    tags=st.sets(st.sampled_from("abc")),
)


@given(nodes, nodes)
def test_an_edit_of_one_side_is_the_result(base: Node, after: Node) -> None:
    assert same(merge(base, after, base).model, after)
    assert same(merge(base, base, after).model, after)
    assert merge(base, after, after).clashes == ()


@given(nodes, nodes, nodes)
def test_who_is_mine_does_not_matter_where_nothing_clashes(base: Node, one: Node, other: Node) -> None:
    this, that = merge(base, one, other), merge(base, other, one)
    assert set(this.clashes) == set(that.clashes)
    if not this.clashes:
        assert this.model == that.model
