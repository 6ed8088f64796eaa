"""How a model lies in one key, and what other tools' members in it meet with."""

from __future__ import annotations

import json
from typing import Any, Generic, Literal, TypeVar

import pytest
from pydantic import BaseModel, ConfigDict

from etcdorm.mapping import EtcdModel, changed_keys, schema_of
from etcdorm.path import Path
from etcdorm.store.types import Record, Version

HERE = Path.parse("/jobs/a")


class Step(BaseModel):
    run: str = ""


class Job(EtcdModel, path="/jobs/{name}", layout="document"):
    name: str
    first: Step = Step()
    steps: dict[str, Step] = {}
    tags: set[str] | None = None


def test_a_document_is_json_of_all_fields_but_the_keys() -> None:
    fields = schema_of(Job).encode(Job(name="a", tags={"y", "x"}), document=True)
    assert fields == {"": '{"first":{"run":""},"steps":{},"tags":["x","y"]}'}


def test_a_document_that_lacks_fields_takes_their_defaults() -> None:
    assert schema_of(Job).decode(HERE, {"": "{}"}) == Job(name="a")


def test_the_path_says_the_key_and_not_a_member_of_that_name() -> None:
    assert schema_of(Job).decode(HERE, {"": '{"name":"b"}'}).name == "a"


def test_a_directory_of_a_class_with_documents_is_read_all_the_same() -> None:
    assert schema_of(Job).decode(HERE, {"steps/x/run": "make"}) == Job(name="a", steps={"x": Step(run="make")})


def test_members_that_the_model_does_not_know_are_kept_at_every_depth() -> None:
    old = {"note": 1, "first": {"run": "a", "by": "me"}, "steps": {"x": {"by": "you"}, "gone": {"by": "him"}}}
    job = Job(name="a", first=Step(run="b"), steps={"x": Step(run="c"), "new": Step()})
    fields = schema_of(Job).encode(job, document=True, onto={"": json.dumps(old)})
    assert json.loads(fields[""]) == {
        "note": 1,
        "first": {"run": "b", "by": "me"},
        "steps": {"x": {"run": "c", "by": "you"}, "new": {"run": ""}},
        "tags": None,
    }


@pytest.mark.parametrize("onto", [{}, {"": "not json"}, {"": "[1]"}, {"": '{"first":1,"steps":[]}'}])
def test_a_record_that_was_no_such_document_is_replaced(onto: dict[str, str]) -> None:
    job = Job(name="a")
    assert schema_of(Job).decode(HERE, schema_of(Job).encode(job, document=True, onto=onto)) == job


def test_a_model_with_extra_fields_says_itself_which_members_there_are() -> None:
    class Open(EtcdModel, path="/open", layout="document", extra="allow"):
        a: int = 1

    schema, value = schema_of(Open), Open.model_validate({"a": 1, "b": [2], "etcd": 3})
    fields = schema.encode(value, document=True, onto={"": '{"gone":1}'})
    assert json.loads(fields[""]) == {"a": 1, "b": [2], "etcd": 3}
    assert schema.decode(Path.parse("/open"), fields) == value


@pytest.mark.parametrize("extra", ["forbid", "ignore"])
def test_unknown_members_are_kept_only_where_the_model_would_take_them(extra: Literal["forbid", "ignore"]) -> None:
    class Inner(BaseModel):
        model_config = ConfigDict(extra=extra)

    class Outer(EtcdModel, path="/outer", layout="document"):
        inner: Inner = Inner()

    fields = schema_of(Outer).encode(Outer(), document=True, onto={"": '{"inner":{"x":1}}'})
    assert fields == {"": '{"inner":{}}' if extra == "forbid" else '{"inner":{"x":1}}'}


class NewStep(BaseModel):
    run: str = ""
    shell: str = "sh"


S = TypeVar("S", bound=BaseModel)


class Plan(EtcdModel, Generic[S], path="/plans/{name}", layout="document"):
    name: str
    number: int = 0
    steps: list[S] = []
    by_stage: dict[str, list[S]] = {}
    either: S | int = 0


def test_what_is_not_edited_keeps_what_an_older_class_does_not_know() -> None:
    new, old = schema_of(Plan[NewStep]), schema_of(Plan[Step])
    step = NewStep(run="make", shell="zsh")
    saved = Plan[NewStep](name="a", steps=[step], by_stage={"one": [step], "two": [step]}, either=step)
    base = Record(Path.parse("/plans/a"), new.encode(saved, document=True), Version(1), 1, 1)
    edited = old.decode(base.path, base.fields)
    edited.number = 5
    edited.by_stage["two"].append(Step(run="test"))
    changed = changed_keys(old, edited, base)
    assert new.decode(base.path, {"": changed[""] or ""}) == Plan[NewStep](
        name="a",
        number=5,
        steps=[step],
        by_stage={"one": [step], "two": [NewStep(run="make"), NewStep(run="test")]},
        either=step,
    )


def test_a_value_of_another_json_type_is_an_edit_though_python_calls_it_equal() -> None:
    class Holder(EtcdModel, path="/any/{name}", layout="document"):
        name: str
        value: Any = None

    schema = schema_of(Holder)
    base = Record(Path.parse("/any/a"), schema.encode(Holder(name="a", value=[1]), document=True), Version(1), 1, 1)
    edited = schema.decode(base.path, base.fields)
    edited.value = [True]
    assert changed_keys(schema, edited, base) == {"": '{"value":[true]}'}
