"""KeyName: a field lies under another name than its own, in either layout; everything else calls it by its own."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pytest
from pydantic import AliasChoices, AliasPath, BaseModel, Field, create_model

from etcdorm.errors import DecodeError, EncodeError, ModelError
from etcdorm.mapping import AsJson, EtcdModel, KeyName, Values, changes, schema_of, upgrade
from etcdorm.mapping.merge import edited, merge
from etcdorm.path import Path


class Limits(BaseModel):
    cpu: Annotated[int, KeyName("cpu.max")] = 1
    memory: int | None = 512


class Node(EtcdModel, path="/nodes/{name}"):
    name: str
    host: Annotated[str, KeyName("host-name")]
    port: Annotated[int, KeyName("host")] | None = 8080
    limits: Annotated[Limits, KeyName("Limits")] = Limits()
    by_zone: dict[str, Limits] = {}


NODE = Node(name="n1", host="h", port=None, limits=Limits(cpu=2, memory=None), by_zone={"a/b": Limits(cpu=3)})
PATH = Path.parse("/nodes/n1")
DIRECTORY = {
    "host-name": "h",
    "@null/host": "",
    "Limits/cpu.max": "2",
    "Limits/@null/memory": "",
    "by_zone/a%2Fb/cpu.max": "3",
    "by_zone/a%2Fb/memory": "512",
}
DOCUMENT = {
    "host-name": "h",
    "host": None,
    "Limits": {"cpu.max": 2, "memory": None},
    "by_zone": {"a/b": {"cpu.max": 3, "memory": 512}},
}


def declare(annotation: Any, default: object = ..., **arguments: Any) -> type[EtcdModel]:
    arguments = {"path": "/made", **arguments}
    return create_model(
        "Made", __base__=EtcdModel, __cls_kwargs__=arguments, other=(str, ""), field=(annotation, default)
    )


def test_fields_lie_under_their_key_names() -> None:
    schema = schema_of(Node)
    assert schema.encode(NODE, document=False) == DIRECTORY
    assert schema.decode(PATH, DIRECTORY) == NODE
    assert json.loads(schema.encode(NODE, document=True)[""]) == DOCUMENT
    assert schema.decode(PATH, {"": json.dumps(DOCUMENT)}) == NODE


def test_the_keys_and_no_others_belong_to_the_model() -> None:
    schema = schema_of(Node)
    assert all(map(schema.owns, DIRECTORY))
    assert not any(map(schema.owns, ["port", "limits/cpu", "Limits/cpu", "@null/port", "name"]))


def test_what_lies_under_a_fields_own_name_is_not_the_field() -> None:
    schema = schema_of(Node)
    fields = {"host-name": "h", "port": "1", "limits/cpu": "1", "Limits/cpu": "x"}
    assert schema.decode(PATH, fields) == Node(name="n1", host="h")
    stored = {"": json.dumps({"host-name": "h", "port": "many", "limits": "x", "Limits": {"cpu": "x"}})}
    loaded = schema.decode(PATH, stored)
    assert loaded == Node(name="n1", host="h")
    assert json.loads(schema.encode(loaded, document=True, onto=stored)[""]) == {
        "port": "many",
        "limits": "x",
        "host-name": "h",
        "host": 8080,
        "Limits": {"cpu": "x", "cpu.max": 1, "memory": 512},
        "by_zone": {},
    }


def test_a_document_that_forbids_other_members_forbids_a_fields_own_name() -> None:
    schema = schema_of(declare(Annotated[str, KeyName("f")], extra="forbid", layout="document"))
    with pytest.raises(DecodeError) as caught:
        schema.decode(Path.parse("/made"), {"": '{"field": "x", "f": "y", "others": 1}'})
    assert "the field field lies in 'f', not in 'field'" in str(caught.value)


def test_an_edit_changes_the_one_key() -> None:
    schema = schema_of(Node)
    before = schema.encode(NODE, document=False)
    after = schema.encode(NODE.model_copy(update={"port": 9090, "host": "g"}), document=False)
    assert changes(before, after, before) == {"host-name": "g", "host": "9090", "@null/host": None}


def test_edits_are_named_and_merged_by_field() -> None:
    mine, theirs = NODE.model_copy(update={"host": "mine"}), NODE.model_copy(update={"host": "theirs", "port": 1})
    assert edited(NODE, theirs) == ("host", "port")
    merged = merge(NODE, mine, theirs)
    assert (merged.model.port, merged.clashes) == (1, ("host",))


def test_errors_name_the_key_and_the_field() -> None:
    with pytest.raises(DecodeError) as caught:
        schema_of(Node).decode(
            PATH, {"host": "x", "Limits/cpu.max": "y", "by_zone/a%2Fb/cpu.max": "z", "host-name/a": "1"}
        )
    assert {(failure.key, failure.field, failure.text) for failure in caught.value.failures} == {
        ("/nodes/n1/host-name", "host", None),
        ("/nodes/n1/host", "port", "x"),
        ("/nodes/n1/Limits/cpu.max", "limits.cpu", "y"),
        ("/nodes/n1/by_zone/a%2Fb/cpu.max", "by_zone.a/b.cpu", "z"),
    }


def test_errors_of_a_document_name_the_member_and_the_field() -> None:
    with pytest.raises(DecodeError) as caught:
        schema_of(Node).decode(PATH, {"": '{"host-name": "h", "Limits": {"cpu.max": "y"}, "by_zone": 1}'})
    problem = "Input should be a valid integer, unable to parse string as an integer"
    assert [(failure.key, failure.field, failure.problem) for failure in caught.value.failures] == [
        ("/nodes/n1", "limits.cpu", f"{problem} (the member Limits.cpu.max)"),
        ("/nodes/n1", "by_zone", "Input should be an object"),
    ]


def test_a_value_that_can_not_be_stored_is_named_by_its_field() -> None:
    with pytest.raises(EncodeError, match=r"Node\.limits\.cpu: "):
        schema_of(Node).encode(NODE.model_copy(update={"limits": Limits.model_construct(cpu="x")}), document=False)
    with pytest.raises(EncodeError, match=r"Node\.limits: "):
        schema_of(Node).encode(NODE.model_copy(update={"limits": 5}), document=True)


@pytest.mark.parametrize("name", ["", "a/b", "/", "@x", "_x", ".", "..", "50%", "\ud800", 5])
def test_a_name_that_is_not_that_of_one_key_is_refused(name: Any) -> None:
    with pytest.raises(ModelError, match=r"Made\.field: KeyName\(.*\) is not the name of one key"):
        declare(Annotated[str, KeyName(name)])


def test_two_fields_may_not_have_the_same_key() -> None:
    with pytest.raises(ModelError, match=r"Made\.field: its key 'other' is that of other already"):
        declare(Annotated[str, KeyName("other")])
    with pytest.raises(ModelError, match=r"Twice\.b: its key 'a' is that of a already"):

        class Twice(EtcdModel, path="/twice"):
            a: str
            b: Annotated[int, KeyName("a")]


def test_a_part_of_the_path_has_no_key_to_be_named() -> None:
    with pytest.raises(ModelError, match=r"Made\.field is part of the path"):
        declare(Annotated[str, KeyName("x")], path="/made/{field}")


def test_nor_has_an_excluded_field() -> None:
    with pytest.raises(ModelError, match=r"Made\.field is excluded from what is stored and has no key"):
        declare(Annotated[str, KeyName("x")], Field(default="", exclude=True))


@pytest.mark.parametrize(
    "annotation",
    [list[Limits], tuple[Limits, int], Annotated[Limits, AsJson()], Limits | int, dict[str, list[Limits]]],
    ids=str,
)
def test_a_name_within_json_is_refused(annotation: Any) -> None:
    with pytest.raises(ModelError, match=r"Made\.field: a Limits lies within JSON here.*KeyName of Limits\.cpu"):
        declare(annotation)


@pytest.mark.parametrize("annotation", [list[Annotated[str, KeyName("x")]], dict[str, Annotated[str, KeyName("x")]]])
def test_a_name_within_a_type_is_refused(annotation: Any) -> None:
    with pytest.raises(ModelError, match=r"Made\.field: KeyName\(\) marks a field as a whole"):
        declare(annotation)


def test_pydantics_aliases_are_not_used_for_storage() -> None:
    class Aliased(EtcdModel, path="/aliased", populate_by_name=True, serialize_by_alias=True):
        a: int = Field(alias="A")
        b: int = Field(validation_alias=AliasChoices("B", AliasPath("bs", 0)))
        c: int = Field(serialization_alias="C")
        d: Annotated[int, KeyName("dd")] = Field(alias="D")

    schema, path = schema_of(Aliased), Path.parse("/aliased")
    made = Aliased.model_validate({"A": 1, "B": 2, "c": 3, "D": 4})
    fields = {"a": "1", "b": "2", "c": "3", "dd": "4"}
    assert schema.encode(made, document=False) == fields
    assert json.loads(schema.encode(made, document=True)[""]) == {"a": 1, "b": 2, "c": 3, "dd": 4}
    assert schema.decode(path, fields) == made
    with pytest.raises(DecodeError, match=r"/aliased/a \(field a\): Field required"):
        schema.decode(path, {"A": "1", "b": "2", "c": "3", "dd": "4"})


def test_an_upgrade_sees_key_names_and_a_version_is_no_extra_field() -> None:
    class Grown(EtcdModel, path="/grown", version=2, extra="allow"):
        host: Annotated[str, KeyName("host-name")]

        @upgrade(1)
        @staticmethod
        def rename(values: Values) -> None:
            values["host-name"] = values.pop("addr")

    schema, path = schema_of(Grown), Path.parse("/grown")
    grown = Grown.model_validate({"host": "h", "more": "1"})
    for old in ({"addr": "h", "more": '"1"'}, {"": '{"addr":"h","more":"1"}'}):
        assert schema.decode(path, old) == grown
    for document in (False, True):
        assert schema.decode(path, schema.encode(grown, document=document)) == grown
