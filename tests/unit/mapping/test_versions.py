"""Versions of a class: how upgrades are declared, and what they make of records."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import new_class
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, create_model

from etcdorm import DecodeError, EncodeError, EtcdModel, ModelError, NewerVersionError, Values, upgrade
from etcdorm.mapping import AsJson, changes, schema_of
from etcdorm.mapping.raw import fields_of, values_of
from etcdorm.path import Path
from tests.unit.mapping.generated import quiet

SECRET = "hunter2"
HERE = Path.parse("/nodes/n1")


class Limits(BaseModel):
    cpu: int = 1


class Node(EtcdModel, path="/nodes/{name}", version=3):
    name: str
    host: str
    port: int = 80
    labels: dict[str, str] = {}
    limits: Limits | None = None

    @upgrade(1)
    @staticmethod
    def split_address(values: Values) -> None:
        host, _, port = str(values.pop("address")).partition(":")
        values["host"], values["port"] = host, int(port)

    @upgrade(2)
    @staticmethod
    def move_cpu(values: Values) -> None:
        if "cpu" in values:
            values["limits"] = {"cpu": values.pop("cpu")}


def upgraded(model: type[EtcdModel], fields: Mapping[str, str]) -> Mapping[str, str]:
    return schema_of(model).versions.upgraded(HERE, fields)


def document(values: Values) -> dict[str, str]:
    return {"": json.dumps(values, separators=(",", ":"))}


OLD = [
    pytest.param({"address": "h:8080", "cpu": "2", "labels/a": "1", "x": "1"}, id="directory"),
    pytest.param(document({"address": "h:8080", "cpu": 2, "labels": {"a": "1"}, "x": "1"}), id="document"),
]


@pytest.mark.parametrize("fields", OLD)
def test_a_record_of_an_older_version_is_read_as_one_of_this(fields: dict[str, str]) -> None:
    node = schema_of(Node).decode(HERE, fields)
    assert node == Node(name="n1", host="h", port=8080, labels={"a": "1"}, limits=Limits(cpu=2))


def test_the_steps_begin_at_the_version_of_the_record() -> None:
    fields = {"@schema": "2", "host": "h", "port": "1", "cpu": "2"}
    assert upgraded(Node, fields) == {"@schema": "3", "host": "h", "port": "1", "limits/cpu": "2"}
    text = {"": '{"@schema":2,"host":"h","cpu":2}'}
    assert upgraded(Node, text) == {"": '{"@schema":3,"host":"h","limits":{"cpu":2}}'}


def test_a_record_that_says_it_is_of_version_1_is() -> None:
    assert upgraded(Node, {"@schema": "1", "address": "h:1"}) == {"@schema": "3", "host": "h", "port": "1"}


@pytest.mark.parametrize("fields", [{"@schema": "3", "host": "h"}, {"": '{"@schema":3,"host":"h"}'}])
def test_a_record_of_this_version_is_left_as_it_is(fields: dict[str, str]) -> None:
    assert upgraded(Node, fields) is fields


def test_a_document_is_of_the_version_that_it_says_wherever_it_says_it() -> None:
    assert schema_of(Node).decode(HERE, {"": '{"host":"h", "@schema": 3}'}).host == "h"
    with pytest.raises(NewerVersionError):
        schema_of(Node).decode(HERE, {"": '{"host":"h", "@schema": 31}'})


def test_only_the_documents_own_member_counts() -> None:
    class Job(EtcdModel, path="/nodes/{name}", layout="document", extra="allow"):
        name: str

    job = schema_of(Job).decode(HERE, {"": '{"inner":{"@schema":7}}'})
    assert job.model_extra == {"inner": {"@schema": 7}}


@pytest.mark.parametrize("extra", ["forbid", "allow", "ignore"])
def test_the_version_is_no_field_whatever_the_model_does_with_extra_ones(extra: str) -> None:
    arguments = {"path": "/nodes/{name}", "layout": "document", "version": 3, "extra": extra}
    model = create_model("Made", __base__=(Node, EtcdModel), __cls_kwargs__=arguments)
    schema = schema_of(model)
    node = model.model_validate({"name": "n1", "host": "h"})
    fields = schema.encode(node, document=True)
    assert json.loads(fields[""])["@schema"] == 3
    assert schema.decode(HERE, fields) == node
    assert schema.encode(node, document=True, onto=fields) == fields


def test_a_class_of_version_1_stores_none() -> None:
    class Plain(EtcdModel, path="/nodes/{name}"):
        name: str
        a: int = 1

    schema = schema_of(Plain)
    assert schema.encode(Plain(name="n1"), document=False) == {"a": "1"}
    assert schema.encode(Plain(name="n1"), document=True) == {"": '{"a":1}'}


def test_a_new_record_says_its_version() -> None:
    schema, node = schema_of(Node), Node(name="n1", host="h")
    assert schema.encode(node, document=False) == {"@schema": "3", "host": "h", "port": "80"}
    assert schema.encode(node, document=True)[""].startswith('{"@schema":3,"host":"h"')
    assert all(schema.owns(key) for key in schema.encode(node, document=False))


def test_the_name_of_the_version_can_not_be_that_of_an_extra_field() -> None:
    class Open(EtcdModel, path="/open", layout="document", extra="allow"):
        pass

    with pytest.raises(EncodeError, match="@schema: the name is kept for the version"):
        schema_of(Open).encode(Open.model_validate({"@schema": 1}), document=True)


@pytest.mark.parametrize("text", ["", "0", "03", "-1", "1.0", "x", "1" * 5000, "٣"])
def test_a_version_that_is_none_is_a_failure_of_that_key(text: str) -> None:
    with pytest.raises(DecodeError, match="a version of the class") as caught:
        upgraded(Node, {"@schema": text, "host": "h"})
    assert not isinstance(caught.value, NewerVersionError)
    (failure,) = caught.value.failures
    assert (failure.key, failure.field, failure.text) == ("/nodes/n1/@schema", "@schema", text)


@pytest.mark.parametrize("member", ['"3"', "3.0", "true", "null", "[3]", "0"])
def test_so_is_a_member_of_a_document(member: str) -> None:
    with pytest.raises(DecodeError, match="a version of the class") as caught:
        upgraded(Node, {"": f'{{"@schema":{member},"host":"{SECRET}"}}'})
    (failure,) = caught.value.failures
    assert (failure.key, failure.field, failure.text) == ("/nodes/n1", "@schema", member)


@pytest.mark.parametrize(
    "fields", [{"@schema": "4", "host": "h"}, {"": '{"@schema":4}'}, {"": '{"host":"h","@schema":4}'}]
)
def test_a_newer_record_is_refused_with_both_versions(fields: dict[str, str]) -> None:
    with pytest.raises(
        NewerVersionError, match=r"^/nodes/n1 holds version 4 of Node, .* up to version 3, .*"
    ) as caught:
        schema_of(Node).decode(HERE, fields)
    assert (caught.value.found, caught.value.known, caught.value.path) == (4, 3, "/nodes/n1")
    assert isinstance(caught.value, DecodeError)


def test_a_class_without_versions_refuses_what_has_one() -> None:
    class Plain(EtcdModel, path="/nodes/{name}"):
        name: str
        host: str = ""

    for fields in ({"@schema": "2", "host": "h"}, {"": '{"@schema":2,"host":"h"}'}):
        with pytest.raises(NewerVersionError, match="up to version 1"):
            schema_of(Plain).decode(HERE, fields)


def test_what_does_not_fit_after_an_upgrade_says_so() -> None:
    with pytest.raises(DecodeError, match=r"/nodes/n1/limits/cpu .* \(as upgraded to version 3\); it holds 'many'"):
        schema_of(Node).decode(HERE, {"address": "h:1", "cpu": "many"})
    with pytest.raises(DecodeError, match="not valid JSON: "):
        schema_of(Node).decode(HERE, {"": "{"})


# -- what an upgrade does, and can't do --------------------------------------------------------------------------------


def of_two(function: Callable[[Values], object], **fields: tuple[object, object]) -> type[EtcdModel]:
    """A class of version 2 with this upgrade."""

    class Base(EtcdModel):
        name: str

        @upgrade(1)
        @staticmethod
        def change(values: Values) -> None:
            return function(values)  # type: ignore[return-value]  # some of these do

    arguments = {"path": "/nodes/{name}", "version": 2}
    made: type[EtcdModel] = create_model(  # type: ignore[call-overload]  # of the fields, too
        "Two", __base__=Base, __cls_kwargs__=arguments, **fields
    )
    return made


def test_what_is_json_in_one_key_is_a_text_in_a_directory_and_a_value_in_a_document() -> None:
    def add(values: Values) -> None:
        ports = values["ports"]
        assert values == seen
        values["ports"] = [*(json.loads(ports) if isinstance(ports, str) else ports), 3]  # type: ignore[misc]

    model = of_two(add, ports=(list[int], ...), quota=(Annotated[Limits, AsJson()], Limits()))
    seen: Values = {"ports": "[1,2]", "quota": '{"cpu":1}'}
    assert upgraded(model, {"ports": "[1,2]", "quota": '{"cpu":1}'})["ports"] == "[1,2,3]"
    seen = {"ports": [1, 2]}
    assert upgraded(model, {"": '{"ports":[1,2]}'}) == {"": '{"@schema":2,"ports":[1,2,3]}'}


def test_keys_that_an_upgrade_does_not_touch_stay_as_they_are() -> None:
    model = of_two(lambda values: values.update(new="1"))
    fields = {"port": " 08080", "100%": "1", "x/_y": "1", "@null/z": "by hand", "other/keys": "1"}
    assert upgraded(model, fields) == {**fields, "new": "1", "@schema": "2"}


def fail(values: Values) -> None:
    values["host"] = SECRET
    raise ValueError(SECRET)


def deep(values: Values) -> None:
    int(SECRET)


def cycle(values: Values) -> None:
    values["self"] = values


def lose(values: Values) -> None:
    values["x"] = object()  # type: ignore[assignment]


def leave_a_surrogate(values: Values) -> None:
    values["x"] = "\udc80"


def miss(values: Values) -> None:
    del values["none"]


FAILING: list[tuple[Callable[[Values], object], str]] = [
    (fail, r"failed with ValueError in line \d+ of test_versions\.py$"),
    (deep, r"failed with ValueError in line"),
    (miss, r"failed with KeyError"),
    (dict, r"returned a dict; it must change the values in place, and return None$"),
    (cycle, r"left a value that can't be stored$"),
    (lose, r"left a value that can't be stored$"),
    (leave_a_surrogate, r"left a value that can't be stored$"),
]


@pytest.mark.parametrize("fields", [{"host": SECRET}, document({"host": SECRET})], ids=["directory", "document"])
@pytest.mark.parametrize(("function", "problem"), FAILING)
def test_an_upgrade_that_fails_is_named_and_no_value_is(
    fields: dict[str, str], function: Callable[[Values], object], problem: str
) -> None:
    with pytest.raises(DecodeError, match=problem) as caught:
        upgraded(of_two(function), fields)
    assert "/nodes/n1 (field *): the upgrade from version 1 to 2, Two.change, " in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_what_an_upgrade_may_leave_is_what_json_can_carry() -> None:
    def leave(values: Values) -> None:
        values.update(a=True, b=1.5, c=["x", None], d={"e": {}}, f=None)
        values["g"] = (1, 2)  # type: ignore[assignment]  # not what mypy wants, but json.dumps takes it too

    model = of_two(leave)
    fields = {"a": "true", "b": "1.5", "c": '["x",null]', "d/e/@empty": "", "@null/f": "", "g": "[1,2]"}
    assert upgraded(model, {}) == {**fields, "@schema": "2"}
    assert json.loads(upgraded(model, {"": "{}"})[""]) == {
        "@schema": 2,
        "a": True,
        "b": 1.5,
        "c": ["x", None],
        "d": {"e": {}},
        "f": None,
        "g": [1, 2],
    }


# -- what becomes of the record at the next save -----------------------------------------------------------------------


def test_a_save_does_not_rewrite_the_version() -> None:
    schema = schema_of(Node)
    stored = {"@schema": "3", "host": "h"}
    before = schema.encode(schema.decode(HERE, stored), document=False)
    after = schema.encode(Node(name="n1", host="i"), document=False)
    assert changes(before, before, stored) == {}
    assert changes(before, after, stored) == {"host": "i"}


# -- declaring ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, -1, True, "2", 1.0])
def test_a_version_is_a_whole_number(version: int) -> None:
    with pytest.raises(ModelError, match=r"version .* must be a whole number, from 1 on"):
        create_model("Made", __base__=EtcdModel, __cls_kwargs__={"path": "/made", "version": version})
    with pytest.raises(ModelError, match=r"^upgrade\(.*\): the version that it starts from must be"):
        upgrade(version)


def test_missing_steps_are_named() -> None:
    with pytest.raises(ModelError, match=r"Made is of version 5, but nothing .* from version 1, 2, 4; .*@upgrade\(1\)"):

        class Made(EtcdModel, path="/made", version=5):
            @upgrade(3)
            @staticmethod
            def third(values: Values) -> None: ...


def test_a_step_beyond_the_version_is_refused() -> None:
    with pytest.raises(ModelError, match=r"Made\.first upgrades from version 1, but Made is of version 1; .*version=2"):

        class Made(EtcdModel, path="/made"):
            @upgrade(1)
            @staticmethod
            def first(values: Values) -> None: ...


def test_two_upgrades_from_one_version_are_refused() -> None:
    with pytest.raises(ModelError, match=r"Made\.second and Made\.first both upgrade from version 1"):

        class Made(EtcdModel, path="/made", version=2):
            @upgrade(1)
            @staticmethod
            def first(values: Values) -> None: ...

            @upgrade(1)
            @staticmethod
            def second(values: Values) -> None: ...


def test_one_method_is_one_step() -> None:
    with pytest.raises(ModelError, match="change is an upgrade already"):

        class Made(EtcdModel, path="/made", version=3):
            @upgrade(2)
            @upgrade(1)
            @staticmethod
            def change(values: Values) -> None: ...


def test_what_can_not_be_called_as_an_upgrade_is_refused() -> None:
    with pytest.raises(ModelError, match=r"Made\.change: an upgrade is a static method that takes the values"):

        class Made(EtcdModel, path="/made", version=2):
            @upgrade(1)  # type: ignore[type-var]
            def change(self) -> None: ...

    with pytest.raises(ModelError, match=r"Other\.change: an upgrade is a static method .*too many positional"):

        class Other(EtcdModel, path="/made", version=2):
            @upgrade(1)  # type: ignore[type-var]
            @staticmethod
            def change() -> None: ...

    with pytest.raises(ModelError, match=r"Later\.change: .*not async"):

        class Later(EtcdModel, path="/made", version=2):
            @upgrade(1)  # type: ignore[type-var]
            @staticmethod
            async def change(values: Values) -> None: ...

    with pytest.raises(ModelError, match="goes on a static method, not on a str"):
        upgrade(1)("change")  # type: ignore[type-var]


def test_versions_and_upgrades_are_inherited_and_overridden_by_name() -> None:
    class Base(EtcdModel, version=2):
        name: str

        @upgrade(1)
        @staticmethod
        def first(values: Values) -> None:
            values["base"] = "1"

    class Same(Base, path="/nodes/{name}"):
        pass

    class More(Base, path="/nodes/{name}", version=3):
        @staticmethod
        def first(values: Values) -> None:
            values["more"] = "1"

        @staticmethod
        @upgrade(2)
        def second(values: Values) -> None:
            values["second"] = "2"

    assert upgraded(Same, {}) == {"base": "1", "@schema": "2"}
    assert upgraded(More, {}) == {"more": "1", "second": "2", "@schema": "3"}


# -- chains ------------------------------------------------------------------------------------------------------------

NAMES = ["a", "b", "c", "d/e"]
TEXTS = st.sampled_from(["", "1", "two"])
TREES = st.recursive(
    TEXTS | st.none(), lambda inside: st.dictionaries(st.sampled_from(NAMES), inside, max_size=3), max_leaves=6
)
RECORDS = st.dictionaries(st.sampled_from(NAMES), TREES, max_size=4)
Edit = tuple[str, str, object]
EDITS: st.SearchStrategy[Edit] = st.tuples(
    st.sampled_from(["set", "drop", "move", "wrap"]), st.sampled_from(NAMES), st.sampled_from(NAMES) | TREES
)


def edit(values: Values, edits: list[Edit]) -> None:
    for verb, name, other in edits:
        if verb == "set":
            values[name] = other  # type: ignore[assignment]
        elif verb == "drop":
            values.pop(name, None)
        elif verb == "move" and isinstance(other, str) and name in values:
            values[other] = values.pop(name)
        elif verb == "wrap" and name in values:
            values[name] = {"in": values[name]}


@given(RECORDS, st.lists(st.lists(EDITS, max_size=4), min_size=1, max_size=4), st.booleans(), st.data())
@quiet
def test_a_chain_of_upgrades_is_its_edits_one_after_the_other(
    record: Values, chain: list[list[Edit]], is_document: bool, data: st.DataObject
) -> None:
    namespace = {
        f"step{number}": upgrade(number)(staticmethod(lambda values, edits=edits: edit(values, edits)))
        for number, edits in enumerate(chain, 1)
    }
    last = len(chain) + 1
    model = new_class("Made", (EtcdModel,), {"path": "/made", "version": last}, lambda body: body.update(namespace))
    start = data.draw(st.integers(1, last))

    oracle = json.loads(json.dumps(record))
    for edits in chain[start - 1 :]:
        edit(oracle, json.loads(json.dumps(edits)))

    if is_document:
        found = json.loads(upgraded(model, document({"@schema": start, **record}))[""])
        assert found.pop("@schema") == last
        assert found == oracle
    else:
        fields = {**fields_of(record), "@schema": str(start), "_other": "1"}
        after = upgraded(model, fields)
        assert values_of(after) == oracle
        assert {key: after[key] for key in ("@schema", "_other")} == {"@schema": str(last), "_other": "1"}
