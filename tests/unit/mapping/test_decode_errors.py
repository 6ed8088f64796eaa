"""A record that does not fit: every failing key and field is named, with the text that is stored there."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import AfterValidator, BaseModel, Discriminator, Field, field_validator, model_validator

from etcdorm.errors import DecodeError, UsageError
from etcdorm.mapping import AsJson, EtcdModel, schema_of
from etcdorm.path import Path

SECRET = "s3cr3t"


class Limits(BaseModel):
    cpu: int = 1


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"


class Node(EtcdModel, path="/nodes/{name}"):
    name: str
    host: str
    port: int = Field(default=8080, validation_alias="PORT")
    limits: Limits = Limits()
    labels: dict[str, int] = {}
    deep: dict[str, dict[str, Limits]] = {}
    ports: list[int] = []
    as_one: Annotated[Limits | None, AsJson()] = None
    pet: Annotated[Cat | Dog, Discriminator("kind")] = Cat()


class Numbered(EtcdModel, path="/numbered/{number}"):
    number: int

    @field_validator("number")
    @classmethod
    def round_down(cls, value: int) -> int:
        return value // 10 * 10


class Span(EtcdModel, path="/span"):
    start: int = 0
    end: int = 0
    note: str = ""

    @model_validator(mode="after")
    def ordered(self) -> Span:
        if self.start > self.end:
            raise ValueError("the start is after the end")
        return self


def failures(model: type[EtcdModel], path: str, fields: dict[str, str]) -> set[tuple[str, str]]:
    with pytest.raises(DecodeError) as caught:
        schema_of(model).decode(Path.parse(path), fields)
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    if "" not in fields:
        for failure in error.failures:
            assert failure.text == fields.get(failure.key.removeprefix(path).removeprefix("/"))
    assert error.path == path
    assert error.model == model.__name__
    return {(failure.key, failure.field) for failure in error.failures}


def test_every_failing_key_is_named_with_its_field() -> None:
    fields = {
        "port": SECRET,
        "limits/cpu": SECRET,
        "labels/a%2Fb": SECRET,
        "labels/ok": "1",
        "deep/x/y/cpu": SECRET,
        "ports": f'[1,2,"{SECRET}"]',
        "as_one": '{"cpu":[]}',
        "pet": f'{{"kind":"{SECRET}"}}',
    }
    assert failures(Node, "/nodes/n1", fields) == {
        ("/nodes/n1/host", "host"),
        ("/nodes/n1/port", "port"),
        ("/nodes/n1/limits/cpu", "limits.cpu"),
        ("/nodes/n1/labels/a%2Fb", "labels.a/b"),
        ("/nodes/n1/deep/x/y/cpu", "deep.x.y.cpu"),
        ("/nodes/n1/ports", "ports[2]"),
        ("/nodes/n1/as_one", "as_one.cpu"),
        ("/nodes/n1/pet", "pet"),
    }


def test_keys_that_can_not_be_read_at_all_are_named_beside_the_others_and_once() -> None:
    fields = {
        "host/x": "1",  # a directory in the place of a key
        "limits": SECRET,  # a key in the place of a directory
        "labels/a/b": "1",
        "labels/100%": "1",  # in no encoding of ours
        "deep/x/y": SECRET,
        "deep/z": SECRET,
        "ports": f"[{SECRET}",
        "port": SECRET,
    }
    assert failures(Node, "/nodes/n1", fields) == {
        ("/nodes/n1/host", "host"),
        ("/nodes/n1/limits", "limits"),
        ("/nodes/n1/labels/a", "labels.a"),
        ("/nodes/n1/labels/100%", "labels.100%"),
        ("/nodes/n1/deep/x/y", "deep.x.y"),
        ("/nodes/n1/deep/z", "deep.z"),
        ("/nodes/n1/ports", "ports"),
        ("/nodes/n1/port", "port"),
    }


@pytest.mark.parametrize("text", ["", SECRET, "[]", "null", '"x"', '{"a":'])
def test_a_document_that_is_no_json_object_is_refused(text: str) -> None:
    assert failures(Node, "/nodes/n1", {"": text}) == {("/nodes/n1", "*")}


def test_the_fields_of_a_document_are_named_and_its_one_key() -> None:
    text = f'{{"host":"h","limits":{{"cpu":"{SECRET}"}},"ports":["{SECRET}"]}}'
    assert failures(Node, "/nodes/n1", {"": text}) == {("/nodes/n1", "limits.cpu"), ("/nodes/n1", "ports[0]")}


def test_an_error_of_the_model_as_a_whole_names_the_record() -> None:
    assert failures(Span, "/span", {"start": "2", "end": "1"}) == {("/span", "*")}


def test_the_model_as_a_whole_is_not_blamed_for_what_could_not_be_read() -> None:
    assert failures(Span, "/span", {"start": "2", "end/x": "1"}) == {("/span/end", "end")}


@pytest.mark.parametrize("path", ["/numbered/x", "/numbered/010", "/numbered/15", "/numbered/%"])
def test_a_path_whose_key_its_field_would_not_write_is_refused(path: str) -> None:
    assert failures(Numbered, path, {}) == {(path, "number")}


def test_a_key_that_its_field_makes_none_of_is_refused() -> None:
    class Named(EtcdModel, path="/named/{name}"):
        name: Annotated[str | None, AfterValidator(lambda name: name or None)]

    assert failures(Named, "/named/%", {}) == {("/named/%", "name")}


def test_a_path_of_another_class_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="/other/n1 is not a path of Node"):
        schema_of(Node).decode(Path.parse("/other/n1"), {})


def test_the_message_shows_the_key_the_field_and_the_text_and_nothing_of_other_keys() -> None:
    with pytest.raises(DecodeError) as caught:
        schema_of(Node).decode(Path.parse("/nodes/n1"), {"host": "other", "port": "many", "limits/cpu": "x" * 100})
    lines = str(caught.value).splitlines()
    problem = "Input should be a valid integer, unable to parse string as an integer"
    assert lines[1:] == [
        f"  /nodes/n1/port (field port): {problem}; it holds 'many'",
        f"  /nodes/n1/limits/cpu (field limits.cpu): {problem}; it holds '{'x' * 60}...'",
    ]


def test_of_a_document_the_failing_member_is_shown_and_no_other() -> None:
    with pytest.raises(DecodeError) as caught:
        schema_of(Node).decode(Path.parse("/nodes/n1"), {"": '{"host": "other", "limits": {"cpu": "many"}}'})
    (failure,) = caught.value.failures
    assert (failure.key, failure.field, failure.text) == ("/nodes/n1", "limits.cpu", '"many"')
    assert "other" not in str(caught.value)
