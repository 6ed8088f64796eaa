"""How a model lies in a directory, in the very texts that other tools see and write."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from ipaddress import IPv4Address, IPv6Interface
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, NewType, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from pydantic import (
    AwareDatetime,
    Base64Str,
    BaseModel,
    BeforeValidator,
    ByteSize,
    Field,
    HttpUrl,
    Json,
    PlainSerializer,
    PostgresDsn,
    RootModel,
    create_model,
    field_serializer,
    model_serializer,
)
from typing_extensions import TypeAliasType

from etcdorm.mapping import AsJson, EtcdModel, schema_of
from etcdorm.path import Path

T = TypeVar("T")
HERE = Path.parse("/made")
Port = NewType("Port", int)
Names = TypeAliasType("Names", dict[str, T], type_params=(T,))
Deep = TypeAliasType("Deep", "dict[str, Deep]")


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 10


class Mixed(Enum):
    TEXT = "1"
    NUMBER = 1


class Limits(BaseModel):
    cpu: int | None = None
    memory: int = 512


@dataclass
class Span:
    start: int


class Version(BaseModel):
    major: int

    @model_serializer
    def text(self) -> str:
        return f"v{self.major}"


def written(annotation: Any, value: object, default: object = ...) -> dict[str, str]:
    """The keys of a model with this one field; that it comes back equal is seen to."""
    model = create_model("Made", __base__=EtcdModel, __cls_kwargs__={"path": "/made"}, field=(annotation, default))
    schema, made = schema_of(model), model.model_validate({"field": value})
    fields = schema.encode(made, document=False)
    assert schema.decode(HERE, fields) == made
    return fields


def read(annotation: Any, fields: Mapping[str, str], default: object = ...) -> object:
    model = create_model("Made", __base__=EtcdModel, __cls_kwargs__={"path": "/made"}, field=(annotation, default))
    value: object = getattr(schema_of(model).decode(HERE, fields), "field")  # noqa: B009  # made by create_model
    return value


@pytest.mark.parametrize(
    ("annotation", "value", "text"),
    [
        (str, "eu-west", "eu-west"),
        (str, "", ""),
        (str, "8080", "8080"),
        (str, "null", "null"),
        (str, '"x"', '"x"'),
        (int, 8080, "8080"),
        (int, 2**70, str(2**70)),
        (float, 0.5, "0.5"),
        (float, math.inf, "Infinity"),
        (bool, True, "true"),
        (bytes, b"\xff\x00", "_wA="),
        (Decimal, Decimal("1.10"), "1.10"),
        (datetime, datetime(2024, 2, 29, 12), "2024-02-29T12:00:00"),
        (AwareDatetime, datetime(2024, 2, 29, 12, tzinfo=UTC), "2024-02-29T12:00:00Z"),
        (timedelta, timedelta(hours=-1, microseconds=1), "-PT59M59.999999S"),
        (UUID, UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour, Colour.RED, "red"),
        (Level, Level.HIGH, "10"),
        (Literal["auto", "1"], "1", "1"),
        (Literal[False], False, "false"),
        (IPv4Address, IPv4Address("10.0.0.1"), "10.0.0.1"),
        (PurePosixPath, PurePosixPath("/a b"), "/a b"),
        (HttpUrl, HttpUrl("http://a/b"), "http://a/b"),
        (PostgresDsn, PostgresDsn("postgres://u@a:1/b"), "postgres://u@a:1/b"),
        (Port, 8080, "8080"),
        (Annotated[int, Field(ge=1)], 1, "1"),
        (str | None, "x", "x"),
        (Annotated[Port | None, Field(ge=1)], 8080, "8080"),
        (Json[list[int]], "[1]", "[1]"),
        (date, date(2024, 2, 29), "2024-02-29"),
        (time, time(12, 30), "12:30:00"),
        (complex, 1 + 2j, "1+2j"),
        (Fraction, Fraction(1, 3), "1/3"),
        (IPv6Interface, IPv6Interface("::1/64"), "::1/64"),
        (ZoneInfo, ZoneInfo("Europe/Berlin"), "Europe/Berlin"),
        (re.Pattern, re.compile("a+"), "a+"),
        (ByteSize, ByteSize(1024), "1024"),
        (Base64Str, "aGVsbG8=", "aGVsbG8="),
    ],
)
def test_a_scalar_is_one_key_of_plain_text(annotation: Any, value: object, text: str) -> None:
    assert written(annotation, value) == {"field": text}


@pytest.mark.parametrize(
    ("annotation", "value", "text"),
    [
        (list[int], [1, 2], "[1,2]"),
        (set[str], {"b", "a", "c"}, '["a","b","c"]'),
        (tuple[int, str], (1, "a"), '[1,"a"]'),
        (Sequence[int], [1], "[1]"),
        (OrderedDict[str, int], OrderedDict(a=1), '{"a":1}'),
        (int | str, "1", '"1"'),
        (int | str, 1, "1"),
        (int | str | None, None, "null"),
        (list[int] | None, None, "null"),
        (Any, {"a": [None]}, '{"a":[null]}'),
        (Mixed, Mixed.TEXT, '"1"'),
        (Mixed, Mixed.NUMBER, "1"),
        (Literal["1", 1], "1", '"1"'),
        (Span, Span(1), '{"start":1}'),
        (RootModel[list[int]], RootModel[list[int]]([1]), "[1]"),
        (Annotated[Limits, AsJson()], Limits(cpu=1), '{"cpu":1,"memory":512}'),
        (Annotated[dict[str, str], AsJson()], {"a/b": "c"}, '{"a/b":"c"}'),
        (Annotated[str, AsJson()], "x", '"x"'),
    ],
)
def test_what_is_neither_scalar_nor_map_nor_model_is_json_in_one_key(annotation: Any, value: object, text: str) -> None:
    assert written(annotation, value) == {"field": text}


@pytest.mark.parametrize(
    ("annotation", "value", "keys"),
    [
        (dict[str, str], {"env": "prod"}, {"field/env": "prod"}),
        (Mapping[str, str], {"env": "prod"}, {"field/env": "prod"}),
        (Names[int], {"a": 1}, {"field/a": "1"}),
        (dict[str, str], {"": "", "a/b": "1", "@x": "2"}, {"field/%": "", "field/a%2Fb": "1", "field/%40x": "2"}),
        (dict[int, bool], {80: True}, {"field/80": "true"}),
        (dict[Colour, int], {Colour.RED: 1}, {"field/red": "1"}),
        (dict[str, list[int]], {"a": [1]}, {"field/a": "[1]"}),
        (dict[str, dict[str, int]], {"a": {"b": 1}, "c": {}}, {"field/a/b": "1", "field/c/@empty": ""}),
        (dict[str, int | None], {"a": None, "b": 1}, {"field/@null/a": "", "field/b": "1"}),
        (dict[str, Limits], {"a": Limits(cpu=1)}, {"field/a/cpu": "1", "field/a/memory": "512"}),
        (dict[str, Any], {"a": None}, {"field/a": "null"}),
        (Limits, Limits(cpu=1), {"field/cpu": "1", "field/memory": "512"}),
        (Limits | None, Limits(), {"field/memory": "512"}),
    ],
)
def test_maps_and_nested_models_are_directories(annotation: Any, value: object, keys: dict[str, str]) -> None:
    assert written(annotation, value) == keys


@pytest.mark.parametrize(
    ("annotation", "value", "default", "keys"),
    [
        (int | None, None, None, {}),
        (int | None, None, 1, {"@null/field": ""}),
        (int | None, None, ..., {"@null/field": ""}),
        (list[int] | None, None, None, {}),
        (dict[str, int] | None, None, {}, {"@null/field": ""}),
        (Limits | None, None, Limits(), {"@null/field": ""}),
        (Limits, Limits(cpu=None), Limits(cpu=2), {"field/memory": "512"}),
        (dict[str, int], {}, {}, {}),
        (dict[str, int], {}, Field(default_factory=dict), {}),
        (dict[str, int], {}, Field(default_factory=lambda: {"a": 1}), {"field/@empty": ""}),
        (dict[str, int], {}, {"a": 1}, {"field/@empty": ""}),
        (dict[str, int], {}, ..., {"field/@empty": ""}),
        (dict[str, int] | None, {}, None, {"field/@empty": ""}),
    ],
)
def test_absence_says_what_it_says_already_and_markers_say_the_rest(
    annotation: Any, value: object, default: object, keys: dict[str, str]
) -> None:
    assert written(annotation, value, default) == keys


class Sparse(BaseModel):
    a: int | None = None


@pytest.mark.parametrize(
    ("default", "keys"),
    [
        (Sparse(), {}),
        (Sparse(a=1), {"field/@empty": ""}),
        (Field(default_factory=Sparse), {"field/@empty": ""}),
        (..., {"field/@empty": ""}),
        (None, {"field/@empty": ""}),
    ],
)
def test_a_nested_model_without_keys_is_marked_unless_its_default_has_none_either(
    default: object, keys: dict[str, str]
) -> None:
    assert written(Sparse | None, Sparse(), default) == keys


@pytest.mark.parametrize(
    ("annotation", "fields", "value"),
    [
        (int | None, {"field": "1", "@null/field": ""}, 1),
        (dict[str, int] | None, {"field/a": "1", "@null/field": "", "field/@empty": ""}, {"a": 1}),
        (dict[str, int] | None, {"field/@empty": "", "@null/field": ""}, {}),
        (dict[str, int | None], {"field/a": "1", "field/@null/a": "", "field/@null/b": ""}, {"a": 1, "b": None}),
        (Limits | None, {"@null/field": "", "field/unknown": "1"}, None),
    ],
)
def test_a_key_counts_for_more_than_a_marker_beside_it(annotation: Any, fields: dict[str, str], value: object) -> None:
    assert read(annotation, fields) == value


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (int, " 8080 ", 8080),
        (int, "08080", 8080),
        (int, "8_080", 8080),
        (bool, "True", True),
        (bool, "on", True),
        (bool, "0", False),
        (float, "1", 1.0),
        (float, "inf", math.inf),
        (datetime, "1700000000", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        (timedelta, "90", timedelta(seconds=90)),
        (Level, "10", Level.HIGH),
        (Decimal, "1e3", Decimal(1000)),
        (bytes, "/wA=", b"\xff\x00"),
        (Json[list[int]], " [1] ", [1]),
        (list[int], " [ 1 ] ", [1]),
    ],
)
def test_text_that_other_tools_wrote_in_their_own_spelling_is_read(annotation: Any, text: str, value: object) -> None:
    assert read(annotation, {"field": text}) == value


def test_nan_comes_back() -> None:
    model = create_model(
        "Made", __base__=EtcdModel, __cls_kwargs__={"path": "/made"}, a=(float, 0), b=(list[float], [])
    )
    schema = schema_of(model)
    for document in (False, True):
        fields = schema.encode(model.model_validate({"a": math.nan, "b": [math.nan]}), document=document)
        assert repr(schema.decode(HERE, fields)) == "Made(a=nan, b=[nan])"


class Node(EtcdModel, path="/nodes/{name}"):
    name: str
    host: str = "localhost"
    port: int = Field(default=8080, alias="listen_port")
    limits: Limits = Limits(cpu=2)
    labels: dict[str, str] = {}
    peers: dict[str, Node] = {}


def test_a_directory_that_other_tools_made_loads_with_defaults_for_what_it_lacks() -> None:
    stored = {"port": "9090", "limits/memory": "1", "limits/note": "x", "unknown": "y", "a/b/c": "z", "@other": ""}
    node = schema_of(Node).decode(Path.parse("/nodes/n1"), stored)
    assert node == Node(name="n1", listen_port=9090, limits=Limits(cpu=None, memory=1))
    assert schema_of(Node).decode(Path.parse("/nodes/n1"), {}) == Node(name="n1")


def test_keys_are_named_by_field_and_not_by_alias() -> None:
    assert schema_of(Node).encode(Node(name="n1", listen_port=1), document=False)["port"] == "1"


def test_key_fields_lie_in_the_path_and_nowhere_else() -> None:
    schema = schema_of(Node)
    assert "name" not in schema.encode(Node(name="n1"), document=False)
    assert not schema.owns("name")
    assert schema.decode(Path.parse("/nodes/n1"), {"name": "other"}).name == "n1"


def test_a_model_may_refer_to_itself() -> None:
    node = Node(name="a", peers={"b": Node(name="b", peers={"c": Node(name="c")})})
    fields = schema_of(Node).encode(node, document=False)
    assert fields["peers/b/peers/c/name"] == "c"
    assert schema_of(Node).decode(Path.parse("/nodes/a"), fields) == node


def test_hidden_keys_and_other_bookkeeping_in_a_map_are_no_entries() -> None:
    stored = {"labels/_hidden": "1", "labels/@x": "2", "labels/a": "3"}
    assert schema_of(Node).decode(Path.parse("/nodes/n1"), stored).labels == {"a": "3"}


@pytest.mark.parametrize(
    ("key", "owned"),
    [
        ("", True),
        ("host", True),
        ("host/x", False),
        ("limits", True),
        ("limits/cpu", True),
        ("limits/unknown", False),
        ("limits/@empty", True),
        ("limits/@null/cpu", True),
        ("limits/@null/unknown", False),
        ("labels", True),
        ("labels/any/thing", True),
        ("labels/@empty", True),
        ("@null/host", True),
        ("@null/unknown", False),
        ("@commit", False),
        ("unknown", False),
        ("name", False),
    ],
)
def test_a_model_owns_its_fields_their_markers_and_all_of_a_map(key: str, owned: bool) -> None:
    assert schema_of(Node).owns(key) is owned


def test_a_serializer_of_the_users_own_leaves_a_field_to_json() -> None:
    class Custom(EtcdModel, path="/custom"):
        code: Annotated[
            int,
            BeforeValidator(lambda value: int(value, 16) if isinstance(value, str) else value),
            PlainSerializer(lambda value: f"{value:x}"),
        ] = 16
        flag: bool = True
        version: Version | None = None

        @field_serializer("flag")
        def number(self, value: bool) -> int:
            return int(value)

    schema = schema_of(Custom)
    assert schema.encode(Custom(), document=False) == {"code": '"10"', "flag": "1"}
    assert schema.decode(Path.parse("/custom"), {"code": '"ff"', "flag": "0"}) == Custom(code=255, flag=False)


def test_an_excluded_field_is_not_stored_nor_read() -> None:
    class Cached(EtcdModel, path="/cached"):
        a: int = 1
        cache: object = Field(default=None, exclude=True)

    schema = schema_of(Cached)
    assert schema.encode(Cached(cache=object()), document=False) == {"a": "1"}
    assert schema.decode(Path.parse("/cached"), {"cache": "x"}) == Cached()
    assert not schema.owns("cache")


def test_an_alias_that_refers_to_itself_ends_as_json() -> None:
    assert written(dict[str, Deep], {"a": {"b": {}}}) == {"field/a": '{"b":{}}'}
