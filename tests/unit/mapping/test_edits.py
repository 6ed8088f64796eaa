"""What a save writes: found by a look at few fields, and the same as by a look at all of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Self, TypeVar

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import AfterValidator, Field, ValidationInfo, field_serializer, field_validator, model_validator

from etcdorm import EncodeError, EtcdModel
from etcdorm.errors import DecodeError
from etcdorm.mapping import changed_keys, changes, schema_of
from etcdorm.mapping.values import same
from etcdorm.path import Path
from etcdorm.store.types import Record, Version
from tests.unit.mapping.generated import classes, edited, quiet

M = TypeVar("M", bound=EtcdModel)
Changes = dict[str, str | None]


@given(st.data())
@quiet
def test_what_a_save_changes_is_what_a_look_at_all_fields_finds(data: st.DataObject) -> None:
    model, values = data.draw(classes())
    schema, saved, other = schema_of(model), data.draw(values), data.draw(values)
    stored = schema.encode(saved, document=False)
    for key in data.draw(st.sets(st.sampled_from([*stored, "none"]))) & stored.keys():
        stored[key] = f"0{stored[key]}"  # of a number, another spelling
    try:
        loaded = schema.decode(schema.path(saved), stored)
    except DecodeError:
        assume(False)
    touched = data.draw(st.sets(st.sampled_from(sorted(model.model_fields)))) - {"name"}
    goal = edited(loaded, other, touched, extras=data.draw(st.booleans()))
    known = data.draw(st.sampled_from([None, schema.differ.seen(loaded)]))
    found = changed_keys(schema, goal, Record(schema.path(saved), stored, Version(1), 1, 1), known)
    before, after = schema.encode(loaded, document=False), schema.encode(goal, document=False)
    assert {key: text for key, text in found.items() if stored.get(key) != text} == {
        key: text for key, text in changes(before, after, stored).items() if stored.get(key) != text
    }
    now = {key: text for key, text in {**stored, **found}.items() if text is not None}
    assert same(goal, schema.decode(schema.path(saved), now))


def _is_above_low(high: int, info: ValidationInfo) -> int:
    if high < info.data["low"]:
        raise ValueError("low is above high")
    return high


class Node(EtcdModel, path="/nodes/{name}"):
    name: str
    port: int = 8080
    budget: Decimal = Decimal("1.0")
    weight: float = 0.0
    note: str | None = None
    labels: dict[str, str] = {}


class Plain(EtcdModel, path="/plain/{name}"):
    """Of what need not be read back."""

    name: str
    host: str = ""
    port: int = 1
    on: bool = False


class Open(EtcdModel, path="/open/{name}", extra="allow"):
    name: str
    port: int = 1


class Counted(EtcdModel, path="/counted/{name}"):
    """Each time that it is read without a number, it has another one."""

    name: str
    port: int = 1
    number: int = Field(default_factory=itertools.count().__next__)


class Derived(EtcdModel, path="/derived/{name}"):
    name: str
    port: int = 1
    admin: int = Field(default_factory=lambda values: values["port"] + 1)


class Joined(EtcdModel, path="/joined/{name}"):
    name: str
    host: str
    port: int

    @field_serializer("host")
    def _with_port(self, host: str) -> str:
        return f"{host}:{self.port}"

    @field_validator("host")
    @classmethod
    def _without_port(cls, host: str) -> str:
        return host.partition(":")[0]


class Ordered(EtcdModel, path="/ordered/{name}"):
    name: str
    low: int
    high: int

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class Beside(EtcdModel, path="/beside/{name}"):
    name: str
    low: int
    high: Annotated[int, AfterValidator(_is_above_low)]


class Lower(EtcdModel, path="/lower/{name}", str_to_lower=True):
    name: str
    host: str


class Narrow(EtcdModel, path="/narrow/{name}"):
    name: str
    port: Annotated[int, Field(lt=100)]


STORED = {"port": "08080", "budget": "1.0", "weight": "0.0", "labels/a": "1", "labels/b": "2"}
SEEN = pytest.mark.parametrize("seen", [False, True], ids=["not seen", "seen"])


def changed(model: type[M], stored: dict[str, str], change: Callable[[M], object], *, seen: bool) -> Changes:
    """The keys that a change of the model of a record changes; of one whose values were seen, or were not."""
    schema = schema_of(model)
    record = Record(schema.path_from(("n1",), {}), stored, Version(1), 1, 1)
    loaded = schema.decode(record.path, stored)
    known = schema.differ.seen(loaded) if seen else None
    change(loaded)
    return changed_keys(schema, loaded, record, known)


@SEEN
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {}),
        ({"port": 8080, "budget": Decimal("1.0"), "labels": {"b": "2", "a": "1"}}, {}),
        ({"port": 8081}, {"port": "8081"}),
        ({"budget": Decimal("1.00"), "weight": -0.0}, {"budget": "1.00", "weight": "-0.0"}),
        ({"note": ""}, {"note": ""}),
        ({"port": 1, "labels": {"a": "1"}}, {"port": "1", "labels/b": None}),
        ({"labels": {}}, {"labels/a": None, "labels/b": None}),
    ],
)
def test_what_is_edited_is_written_and_no_other_spelling_of_the_same(
    values: dict[str, object], expected: Changes, seen: bool
) -> None:
    def change(node: Node) -> None:
        for name, value in values.items():
            setattr(node, name, value)

    assert changed(Node, STORED, change, seen=seen) == expected


@SEEN
@pytest.mark.parametrize(
    "values", [{"host": "ü \n"}, {"port": -1}, {"port": 2**80}, {"on": True}, {"host": "", "port": 7}]
)
def test_plain_edits_are_written_and_come_back(values: dict[str, object], seen: bool) -> None:
    stored = {"host": "a", "port": "1", "on": "false"}
    found = changed(Plain, stored, lambda model: model.__dict__.update(values), seen=seen)
    assert found.keys() == values.keys()
    now = {key: text for key, text in {**stored, **found}.items() if text is not None}
    read = schema_of(Plain).decode(Path.parse("/plain/n1"), now)
    assert {name: getattr(read, name) for name in values} == values


@SEEN
def test_what_is_edited_in_place_is_written(seen: bool) -> None:
    assert changed(Node, STORED, lambda node: node.labels.update(b="3", c="4"), seen=seen) == {
        "labels/b": "3",
        "labels/c": "4",
    }


@SEEN
@pytest.mark.parametrize("values", [{"port": "8080"}, {"port": "9"}, {"labels": {"a": 1, "b": "2"}}])
def test_a_value_of_another_type_is_refused_though_its_text_may_be_the_same(
    values: dict[str, object], seen: bool
) -> None:
    with pytest.raises(EncodeError, match="the value would come back as another one"):
        changed(Node, STORED, lambda node: node.__dict__.update(values), seen=seen)


@SEEN
@pytest.mark.parametrize(
    ("model", "stored", "values", "problem"),
    [
        (Ordered, {"low": "1", "high": "5"}, {"low": 6}, "low is above high"),
        (Beside, {"low": "1", "high": "5"}, {"low": 6}, "low is above high"),
        (Lower, {"host": "a"}, {"host": "A"}, "the value would come back as another one"),
        (Narrow, {"port": "1"}, {"port": 100}, "should be less than 100"),
        (Plain, {"port": "1"}, {"port": 10**5000}, "exceeded maximum size"),
        (Plain, {"host": "a"}, {"host": "\ud800"}, "UTF-8 can't carry"),
    ],
)
def test_what_would_not_come_back_is_refused(
    model: type[EtcdModel], stored: dict[str, str], values: dict[str, object], problem: str, seen: bool
) -> None:
    with pytest.raises(EncodeError, match=problem):
        changed(model, stored, lambda loaded: loaded.__dict__.update(values), seen=seen)


@SEEN
def test_extra_fields_come_and_go(seen: bool) -> None:
    stored = {"port": "1", "zone": '"a"'}
    assert changed(Open, stored, lambda model: setattr(model, "zone", "b"), seen=seen) == {"zone": '"b"'}
    assert changed(Open, stored, lambda model: setattr(model, "rack", 7), seen=seen) == {"rack": "7"}
    assert changed(Open, stored, lambda model: delattr(model, "zone"), seen=seen) == {"zone": None}


@SEEN
def test_a_marker_that_another_tools_key_hides_goes_with_the_edit_of_its_field(seen: bool) -> None:
    stored = {"note": "a", "@null/note": ""}
    assert changed(Node, stored, lambda model: setattr(model, "note", "b"), seen=seen) == {
        "note": "b",
        "@null/note": None,
    }


@SEEN
def test_what_a_factory_has_made_is_written_for_the_next_time_it_would_make_another(seen: bool) -> None:
    assert changed(Counted, {"port": "1"}, lambda model: None, seen=seen).keys() == {"number"}
    assert changed(Counted, {"port": "1", "number": "7"}, lambda model: None, seen=seen) == {}


@SEEN
def test_a_default_that_hangs_on_what_was_edited_is_written_too(seen: bool) -> None:
    assert changed(Derived, {"port": "1"}, lambda model: setattr(model, "port", 5), seen=seen) == {
        "port": "5",
        "admin": "2",
    }


@SEEN
def test_a_field_whose_text_hangs_on_another_is_written_with_that(seen: bool) -> None:
    stored = {"host": '"h:1"', "port": "1"}
    assert changed(Joined, stored, lambda model: setattr(model, "port", 2), seen=seen) == {"host": '"h:2"', "port": "2"}


class Sparse(EtcdModel, path="/sparse/{name}"):
    name: str
    count: int = Field(default=0, exclude_if=lambda value: value == 0)
    label: str = Field(default="d", exclude_if=lambda value: value == "z")


def test_a_value_that_is_left_out_takes_its_key_away() -> None:
    schema = schema_of(Sparse)
    stored = schema.encode(Sparse(name="n", count=5, label="q"), document=False)
    base = Record(Path.parse("/sparse/n"), stored, Version(1), 1, 1)
    model = schema.decode(base.path, stored)
    known = schema.differ.seen(model)
    model.count = 0
    assert changed_keys(schema, model, base, known) == {"count": None}
    model.label = "z"  # without its key it would be the default
    with pytest.raises(EncodeError, match="label"):
        changed_keys(schema, model, base, known)
