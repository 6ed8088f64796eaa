"""Extra fields in a directory: each is one key, and what lies further below is none of them."""

from __future__ import annotations

import json
from typing import Annotated, Any, Generic, TypeVar

import pytest
from pydantic import BaseModel, Field, SecretStr

from etcdorm.errors import DecodeError, EncodeError
from etcdorm.mapping import EtcdModel, KeyName, changes, schema_of
from etcdorm.mapping.merge import edited, merge
from etcdorm.path import Path

PATH = Path.parse("/nodes/n1")
T = TypeVar("T")


class Limits(BaseModel, extra="allow"):
    cpu: int = 1


class Node(EtcdModel, path="/nodes/{name}", extra="allow"):
    name: str
    host: str = "h"
    port: Annotated[int, KeyName("the-port")] = 8080
    limits: Limits = Limits()
    cache: str = Field(default="", exclude=True)


class Numbers(EtcdModel, path="/numbers", extra="allow"):
    __pydantic_extra__: dict[str, int | None]


class Texts(EtcdModel, path="/texts", extra="allow"):
    __pydantic_extra__: dict[str, str] = Field(init=False)


class Objects(EtcdModel, path="/objects", extra="allow"):
    __pydantic_extra__: dict[str, dict[str, Limits]]


class Secrets(EtcdModel, path="/secrets", extra="allow"):
    __pydantic_extra__: dict[str, SecretStr]


class Open(BaseModel, Generic[T], extra="allow"):
    __pydantic_extra__: dict[str, list[T]]


class Holder(EtcdModel, path="/holder"):
    open: Open[int] = Field(default_factory=lambda: Open[int].model_validate({}))


@pytest.mark.parametrize("document", [False, True], ids=["directory", "document"])
@pytest.mark.parametrize(
    "value", [None, True, 5, 1.5, "", "8080", "null", '"x"', "text", {}, {"a": {}}, {"a": None}, [], [1, "1"]], ids=repr
)
def test_untyped_extras_come_back_equal(value: object, document: bool) -> None:
    schema = schema_of(Node)
    node = Node(name="n1", extra=value, limits=Limits.model_validate({"extra": value}))  # type: ignore[call-arg]
    fields = schema.encode(node, document=document)
    assert schema.decode(PATH, fields) == node
    if not document:
        assert fields["extra"] == fields["limits/extra"] == json.dumps(value, separators=(",", ":"))


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("@x", "%40x"),
        ("@null", "%40null"),
        ("_x", "%5Fx"),
        ("a/b", "a%2Fb"),
        ("", "%"),
        ("..", "%2E%2E"),
        ("50%", "50%25"),
    ],
)
def test_the_names_of_extras_are_encoded_as_those_of_entries(name: str, key: str) -> None:
    schema = schema_of(Numbers)
    numbers = Numbers.model_validate({name: 5})
    assert schema.encode(numbers, document=False) == {key: "5"}
    assert schema.decode(Path.parse("/numbers"), {key: "5"}) == numbers
    assert schema.owns(key)


@pytest.mark.parametrize(
    ("model", "fields", "extras"),
    [
        (Numbers, {"a": "5", "@null/b": ""}, {"a": 5, "b": None}),
        (Texts, {"a": "5", "b": "null", "c": ""}, {"a": "5", "b": "null", "c": ""}),
        (Objects, {"a": "{}", "b": '{"x":{"cpu":2,"more":"1"}}'}, {"a": {}, "b": {"x": {"cpu": 2, "more": "1"}}}),
        (Secrets, {"a": "s3cr3t"}, {"a": "s3cr3t"}),
        (Holder, {"open/a": "[1]"}, {"open": {"a": [1]}}),
    ],
)
def test_typed_extras_lie_as_their_type_does_in_one_key(
    model: type[EtcdModel], fields: dict[str, str], extras: dict[str, Any]
) -> None:
    schema, made = schema_of(model), model.model_validate(extras)
    path = schema.path(made)
    assert schema.encode(made, document=False) == fields
    assert schema.decode(path, fields) == made
    assert schema.decode(path, schema.encode(made, document=True)) == made
    assert all(map(schema.owns, fields))


def test_what_other_tools_wrote_is_read_as_json_or_else_as_text() -> None:
    fields = {"a": "8080", "b": "eu-west", "c": '{"d":1}', "e": "", "f": "{", "limits/g": "x y"}
    node = schema_of(Node).decode(PATH, fields)
    assert node.model_extra == {"a": 8080, "b": "eu-west", "c": {"d": 1}, "e": "", "f": "{"}
    assert node.limits.model_extra == {"g": "x y"}


def test_a_text_of_another_tool_is_left_as_it_is_until_it_is_changed() -> None:
    schema = schema_of(Node)
    stored = {"a": "eu-west", "b": "008", "host": "h"}
    node = schema.decode(PATH, stored)
    before = schema.encode(node, document=False)
    assert changes(before, schema.encode(node.model_copy(update={"host": "g"}), document=False), stored) == {
        "host": "g"
    }
    assert changes(before, schema.encode(node.model_copy(update={"b": "9"}), document=False), stored) == {"b": '"9"'}


FOREIGN = ["racks/r1/units", "racks/r1", "limits/x/y", "_hidden", "a/@null", "100%", "%41", "cache", "name", "port"]


@pytest.mark.parametrize("key", [*FOREIGN, "@null/cache", "@null/port", "@null/a/b", "@commit"])
def test_what_is_no_extra_field_is_left_alone(key: str) -> None:
    schema = schema_of(Node)
    assert not schema.owns(key)
    node = schema.decode(PATH, {key: "x", "a": "1"})
    assert node == Node(name="n1", a=1)  # type: ignore[call-arg]


def test_extras_belong_to_the_model() -> None:
    schema = schema_of(Node)
    assert all(map(schema.owns, ["a", "@null/a", "limits/a", "limits/@null/a", "limits/@empty", "%40x", "the-port"]))


@pytest.mark.parametrize("model", [Numbers, Objects], ids=["scalars", "objects"])
def test_a_sub_directory_is_never_an_extra_field_as_it_may_be_a_record(model: type[EtcdModel]) -> None:
    schema = schema_of(model)
    fields = {"racks/r1/units": "42", "racks/r2": "{}"}
    assert schema.decode(schema.path(model()), fields) == model()
    assert not any(map(schema.owns, fields))


def test_an_extra_field_that_is_taken_away_is_deleted() -> None:
    schema = schema_of(Node)
    node = Node(name="n1", a=1, b=None, limits=Limits.model_validate({"c": 1}))  # type: ignore[call-arg]
    stored = {**schema.encode(node, document=False), "racks/r1": "x"}
    after = schema.encode(Node(name="n1", a=2), document=False)  # type: ignore[call-arg]
    assert changes(schema.encode(node, document=False), after, stored) == {"a": "2", "b": None, "limits/c": None}


def test_extras_are_merged_one_by_one() -> None:
    base, mine, theirs = (
        Node.model_validate({"name": "n1", **extras}) for extras in ({"a": 1}, {"a": 2}, {"a": 1, "b": 1})
    )
    merged = merge(base, mine, theirs)
    assert (merged.model.model_extra, merged.clashes) == ({"a": 2, "b": 1}, ())
    assert edited(base, theirs) == ("b",)


def test_an_extra_field_that_does_not_fit_is_named_with_its_key() -> None:
    with pytest.raises(DecodeError) as caught:
        schema_of(Numbers).decode(Path.parse("/numbers"), {"a%2Fb": "many", "c": "1"})
    assert [(failure.key, failure.field, failure.text) for failure in caught.value.failures] == [
        ("/numbers/a%2Fb", "a/b", "many")
    ]
    with pytest.raises(DecodeError) as caught:
        schema_of(Secrets).decode(Path.parse("/secrets"), {"": '{"a":["s3cr3t"]}'})
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("document", [False, True])
@pytest.mark.parametrize("value", [(1, 2), {1: 2}, SecretStr("s3cr3t")], ids=repr)
def test_an_extra_value_that_would_not_come_back_is_refused(value: object, document: bool) -> None:
    node = Node.model_validate({"name": "n1", "a": value})
    with pytest.raises(EncodeError, match=r"Node\.a: the value would come back as another one"):
        schema_of(Node).encode(node, document=document)


@pytest.mark.parametrize("document", [False, True])
def test_an_extra_field_under_the_key_of_another_is_refused(document: bool) -> None:
    node = Node.model_validate({"name": "n1", "the-port": 1})
    with pytest.raises(EncodeError, match=r"an extra field of this name would lie where the field port does"):
        schema_of(Node).encode(node, document=document)
