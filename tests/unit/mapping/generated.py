"""Generated model classes: every shape of field that can be stored, with values for it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from ipaddress import IPv4Address, IPv6Network
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, NewType, TypeAlias, cast
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, create_model
from typing_extensions import TypedDict

from etcdorm.mapping import AsJson, EtcdModel
from etcdorm.mapping.schema import Layout

quiet = settings(database=None, deadline=None, max_examples=100)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    [
        "",
        ".",
        "..",
        "/",
        "a/b",
        "%",
        "%2F",
        "_x",
        "@null",
        "@empty",
        "null",
        "true",
        "8080",
        '"x"',
        " ",
        "é",
        "\0",
        "\n",
    ]
)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Digits(Enum):
    ONE = "1"
    TWO = "2"


class Level(IntEnum):
    LOW = 1
    HIGH = 10


class Mixed(Enum):
    TEXT = "1"
    NUMBER = 1
    FLAG = "true"


class Point(TypedDict):
    x: int
    y: float


@dataclass
class Span:
    start: date
    tags: list[str] = field(default_factory=list)


Port = NewType("Port", int)

Annotation: TypeAlias = Any  # what may stand behind the colon of a field


@dataclass(frozen=True)
class Kind:
    """A type of field, and values of that type."""

    annotation: Annotation
    values: st.SearchStrategy[Any]


aware = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
numbers = st.floats(allow_nan=False)

hashables = st.sampled_from(
    [
        Kind(str, texts),
        Kind(int, st.integers()),
        Kind(bool, st.booleans()),
        Kind(bytes, st.binary(max_size=8)),
        Kind(Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
        Kind(datetime, st.datetimes() | st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=aware)),
        Kind(date, st.dates()),
        Kind(time, st.times()),
        Kind(timedelta, st.timedeltas(timedelta(days=-99999), timedelta(days=99999))),
        Kind(UUID, st.uuids()),
        Kind(Colour, st.sampled_from(Colour)),
        Kind(Digits, st.sampled_from(Digits)),
        Kind(Level, st.sampled_from(Level)),
        Kind(Literal["auto", "1"], st.sampled_from(["auto", "1"])),
        Kind(IPv4Address, st.ip_addresses(v=4)),
        Kind(IPv6Network, st.integers(0, 128).map(lambda bits: IPv6Network((0, bits)))),
        Kind(PurePosixPath, st.lists(st.sampled_from(["a", "b c", "é"])).map(lambda parts: PurePosixPath(*parts))),
        Kind(Annotated[int, Field(ge=0, le=65535)], st.integers(0, 65535)),
        Kind(Port, st.integers(0, 65535)),
    ]
)
scalars = hashables | st.sampled_from(
    [
        Kind(float, numbers),
        Kind(Literal[1, 2], st.sampled_from([1, 2])),
        Kind(Mixed, st.sampled_from(Mixed)),
    ]
)
mixtures = st.sampled_from(
    [
        Kind(int | str, st.integers() | texts),
        Kind(Literal["1", 1], st.sampled_from(["1", 1])),
        Kind(
            Any,
            st.recursive(st.none() | st.booleans() | st.integers() | texts, lambda part: st.lists(part, max_size=2)),
        ),
        Kind(Point, st.fixed_dictionaries({"x": st.integers(), "y": numbers})),
        Kind(Span, st.builds(Span, st.dates(), st.lists(texts, max_size=2))),
    ]
)


def nullable(kind: Kind) -> Kind:
    return Kind(kind.annotation | None, st.none() | kind.values)


def as_json(kind: Kind) -> Kind:
    return Kind(Annotated[kind.annotation, AsJson()], kind.values)


def generic(origin: Any, *arguments: Annotation) -> Annotation:
    return origin[arguments]


def mapping(key: Kind, item: Kind) -> Kind:
    return Kind(generic(dict, key.annotation, item.annotation), st.dictionaries(key.values, item.values, max_size=3))


def containers(kind: Kind) -> st.SearchStrategy[Kind]:
    inner, values = kind.annotation, kind.values
    return st.sampled_from(
        [
            Kind(generic(list, inner), st.lists(values, max_size=2)),
            Kind(generic(tuple, inner, ...), st.lists(values, max_size=2).map(tuple)),
            Kind(generic(tuple, inner, int), st.tuples(values, st.integers())),
            nullable(kind),
            as_json(kind),
        ]
    ) | hashables.map(lambda key: mapping(key, kind))


def sets(kind: Kind) -> st.SearchStrategy[Kind]:
    values = cast("st.SearchStrategy[Hashable]", kind.values)
    return st.sampled_from(
        [
            Kind(generic(set, kind.annotation), st.sets(values, max_size=3)),
            Kind(generic(frozenset, kind.annotation), st.frozensets(values, max_size=3)),
        ]
    )


@st.composite
def nested_models(draw: st.DrawFn, kinds: st.SearchStrategy[Kind]) -> Kind:
    members = draw(st.dictionaries(st.sampled_from(["cpu", "labels", "x"]), kinds, max_size=3))
    # Its bytes as in an EtcdModel: a model's own settings hold for it, also inside another one.
    config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", frozen=draw(st.booleans()))
    model = create_model("Nested", __config__=config, **draw(definitions(members)))
    return Kind(model, instances(model, members))


@st.composite
def definitions(draw: st.DrawFn, members: dict[str, Kind]) -> dict[str, Any]:
    """The fields as ``create_model`` takes them: required, with a static default, or with a factory."""
    found: dict[str, Any] = {}
    for name, kind in members.items():
        default = draw(st.sampled_from(["none", "static", "factory"]))
        value = draw(kind.values)
        found[name] = {
            "none": (kind.annotation, ...),
            "static": (kind.annotation, value),
            "factory": (kind.annotation, Field(default_factory=dict if value == {} else lambda value=value: value)),
        }[default]
    return found


def instances(model: type[BaseModel], members: dict[str, Kind]) -> st.SearchStrategy[Any]:
    optional = {name for name, info in model.model_fields.items() if not info.is_required()} & members.keys()
    return st.fixed_dictionaries(
        {name: kind.values for name, kind in members.items() if name not in optional},
        optional={name: members[name].values for name in optional},
    ).map(lambda values: model(**values))


kinds = st.recursive(
    scalars | mixtures | hashables.flatmap(sets),
    lambda inner: inner.flatmap(containers) | nested_models(inner),
    max_leaves=4,
)


@st.composite
def classes(draw: st.DrawFn, layout: Layout = "directory") -> tuple[type[EtcdModel], st.SearchStrategy[EtcdModel]]:
    """A class with a key field and up to four others, and its instances."""
    members = draw(st.dictionaries(st.sampled_from(["alpha", "beta", "gamma", "delta"]), kinds, max_size=4))
    key = draw(hashables)
    arguments = {"path": "/made/{name}/of", "layout": layout, "strict": draw(st.booleans())}
    fields = {"name": (key.annotation, ...), **draw(definitions(members))}
    model = create_model("Made", __base__=EtcdModel, __cls_kwargs__=arguments, **fields)
    return model, instances(model, {"name": key, **members})
