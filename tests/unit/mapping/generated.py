"""Generated model classes: every shape of field that can be stored, with values for it."""

from __future__ import annotations

import types
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import PurePosixPath
from typing import Annotated, Any, Generic, Literal, NewType, TypeAlias, TypeVar, cast
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from pydantic import (
    AnyUrl,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    HttpUrl,
    PostgresDsn,
    Secret,
    SecretBytes,
    SecretStr,
    Tag,
    computed_field,
    create_model,
)
from pydantic.fields import FieldInfo
from typing_extensions import TypedDict

from etcdorm.mapping import AsJson, EtcdModel, KeyName, Sensitive
from etcdorm.mapping.schema import Layout

quiet = settings(database=None, deadline=None, max_examples=60)

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
T = TypeVar("T")

# Its bytes as in an EtcdModel: a model's own settings hold for it, also inside another one.
INNER = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", populate_by_name=True)


class Box(BaseModel, Generic[T]):
    model_config = INNER
    item: T
    label: str | None = None


class Branch(BaseModel):
    """Recursive, as a directory, in a map and within JSON."""

    model_config = INNER
    size: int = Field(default=0, alias="Size")
    twigs: list[Branch] = []
    by_name: dict[str, Branch] = {}
    other: Branch | None = None


class Area(BaseModel, frozen=True):
    width: int
    height: int = 1

    @computed_field  # type: ignore[prop-decorator]  # the stubs of neither know this pair
    @property
    def size(self) -> int:
        return self.width * self.height


class Cat(BaseModel):
    kind: Literal["cat"] = Field(default="cat", alias="Kind")
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = Field(default="dog", alias="Kind")
    tricks: set[str] = set()


def tag_of(value: Any) -> str:
    kind = value.get("Kind", value.get("kind")) if isinstance(value, dict) else value.kind
    return str(kind)[0]


class Login(BaseModel):
    user: str = ""
    password: SecretStr
    token: Annotated[str | None, Sensitive()] = None


Annotation: TypeAlias = Any  # what may stand behind the colon of a field


@dataclass(frozen=True)
class Kind:
    """A type of field, and values of that type."""

    annotation: Annotation
    values: st.SearchStrategy[Any]


aware = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
numbers = st.floats(allow_nan=False)

HASHABLES = [
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
    Kind(IPv6Address, st.ip_addresses(v=6)),
    Kind(IPv4Network, st.integers(0, 32).map(lambda bits: IPv4Network((0, bits)))),
    Kind(IPv6Network, st.integers(0, 128).map(lambda bits: IPv6Network((0, bits)))),
    Kind(PurePosixPath, st.lists(st.sampled_from(["a", "b c", "é"])).map(lambda parts: PurePosixPath(*parts))),
    Kind(Annotated[int, Field(ge=0, le=65535)], st.integers(0, 65535)),
    Kind(Port, st.integers(0, 65535)),
    Kind(AnyUrl, st.sampled_from(["http://a/b?c=%2F#d", "mailto:a@b"]).map(AnyUrl)),
    Kind(HttpUrl, st.sampled_from(["https://user@h:8443/", "http://[::1]/"]).map(HttpUrl)),
]
"""Those that may be the keys of maps, the items of sets, and parts of the path."""
hashables = st.sampled_from(HASHABLES)
secret_texts = texts.map(SecretStr)
SECRETS = [
    Kind(SecretStr, secret_texts),
    Kind(SecretBytes, st.binary(max_size=8).map(SecretBytes)),
    Kind(Secret[int], st.integers().map(Secret)),
    Kind(Secret[date | None], (st.none() | st.dates()).map(Secret)),
    Kind(Secret[set[str]], st.sets(texts, max_size=2).map(Secret)),
    Kind(set[SecretStr], st.sets(secret_texts, max_size=3)),
    Kind(Login, st.builds(Login, user=texts, password=secret_texts, token=st.none() | texts)),
]
secrets = st.sampled_from(SECRETS)
SCALARS = [
    Kind(float, numbers),
    Kind(Literal[1, 2], st.sampled_from([1, 2])),
    Kind(Mixed, st.sampled_from(Mixed)),
    Kind(PostgresDsn, st.just(PostgresDsn("postgresql://u:p@h1:1,h2:2/db"))),
]
scalars = hashables | st.sampled_from(SCALARS)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | texts,
    lambda part: st.lists(part, max_size=2) | st.dictionaries(texts, part, max_size=2),
)
branches = st.recursive(
    st.builds(Branch, size=st.integers()),
    lambda inner: st.builds(
        Branch,
        twigs=st.lists(inner, max_size=2),
        by_name=st.dictionaries(texts, inner, max_size=2),
        other=st.none() | inner,
    ),
    max_leaves=3,
)
cats = st.builds(Cat, lives=st.integers())
dogs = st.builds(Dog, tricks=st.sets(texts, max_size=2))
MIXTURES = [
    Kind(int | str, st.integers() | texts),
    Kind(Literal["1", 1], st.sampled_from(["1", 1])),
    Kind(int | SecretStr, st.integers() | secret_texts),
    Kind(Any, anything),
    Kind(Branch, branches),
    Kind(Area, st.builds(Area, width=st.integers(), height=st.integers())),
    Kind(
        Annotated[Cat | Dog, Discriminator("kind")],
        cats | dogs,
    ),
    Kind(
        Annotated[Annotated[Cat, Tag("c")] | Annotated[Dog, Tag("d")], Discriminator(tag_of)],
        cats | dogs,
    ),
    Kind(Point, st.fixed_dictionaries({"x": st.integers(), "y": numbers})),
    Kind(Span, st.builds(Span, st.dates(), st.lists(texts, max_size=2))),
]
mixtures = st.sampled_from(MIXTURES)


def nullable(kind: Kind) -> Kind:
    # A secret None would come back as None; a save refuses it.
    return Kind(kind.annotation | None, st.none() | kind.values.filter(lambda value: not _is_secret_none(value)))


def _is_secret_none(value: object) -> bool:
    return isinstance(value, Secret) and value.get_secret_value() is None


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


def boxed(kind: Kind) -> Kind:
    box = generic(Box, kind.annotation)
    return Kind(box, st.builds(lambda item, label: box(item=item, label=label), kind.values, st.none() | texts))


@st.composite
def nested_models(draw: st.DrawFn, kinds: st.SearchStrategy[Kind], *, named: bool = False) -> Kind:
    """A model; with ``named``, its fields may have key names, so that it may lie in no JSON."""
    members = draw(st.dictionaries(st.sampled_from(["cpu", "labels", "x"]), kinds, max_size=3))
    shape = draw(shapes(BaseModel, members, named=named))
    config = ConfigDict(frozen=draw(st.booleans()), **INNER)
    model = create_model("Nested", __base__=shape.base, __cls_kwargs__=dict(config), **shape.fields)
    return Kind(model, shape.instances(model))


OPEN = {
    "anything": Kind(Any, anything),
    "numbers": Kind(int | None, st.none() | st.integers()),
    "texts": Kind(str, texts),
    "objects": Kind(dict[str, int], st.dictionaries(texts, st.integers(), max_size=2)),
    "models": Kind(Login, st.builds(Login, user=texts, password=secret_texts)),
    "secrets": Kind(SecretStr, secret_texts),
}
"""The types that extra fields may have."""


@dataclass(frozen=True)
class Shape:
    """What a model class is to be made of: its base, its fields as ``create_model`` takes them, and their kinds."""

    base: type[BaseModel]
    fields: dict[str, Any]
    members: dict[str, Kind]
    extra: Kind | None

    def instances(self, model: type[BaseModel]) -> st.SearchStrategy[Any]:
        optional = {name for name, info in model.model_fields.items() if not info.is_required()} & self.members.keys()
        values = st.fixed_dictionaries(
            {name: kind.values for name, kind in self.members.items() if name not in optional},
            optional={name: self.members[name].values for name in optional},
        )
        taken = {*model.model_fields, *map(key_of, model.model_fields.values()), *map(str.upper, model.model_fields)}
        names = texts.filter(lambda name: name not in {*taken, "self"})
        extras = st.just({}) if self.extra is None else st.dictionaries(names, self.extra.values, max_size=3)
        return st.builds(lambda values, extras: model(**values, **extras), values, extras)


@st.composite
def shapes(draw: st.DrawFn, base: type[BaseModel], members: dict[str, Kind], *, named: bool) -> Shape:
    kind = OPEN[draw(st.sampled_from(sorted(OPEN)))] if draw(st.integers(0, 3)) == 0 else None
    if kind is not None:
        annotations = {} if kind.annotation is Any else {"__pydantic_extra__": generic(dict, str, kind.annotation)}
        namespace = {"__annotations__": annotations, "__module__": __name__}
        base = types.new_class("Open", (base,), {"extra": "allow"}, lambda body: body.update(namespace))
    return Shape(base, draw(definitions(members, named=named)), members, kind)


@st.composite
def definitions(draw: st.DrawFn, members: dict[str, Kind], *, named: bool) -> dict[str, Any]:
    """The fields as ``create_model`` takes them: required, with a static default, or with a factory; some marked."""
    found: dict[str, Any] = {}
    names = draw(st.sampled_from([{}, *([key_names(list(members))] if named else [])]))
    for name, kind in members.items():
        default = draw(st.sampled_from(["none", "static", "factory"]))
        value = draw(kind.values)
        annotation = kind.annotation
        if name in names:
            annotation = Annotated[annotation, KeyName(names[name])]
        if draw(st.integers(0, 3)) == 0:
            annotation = Annotated[annotation, Sensitive()]
        if draw(st.integers(0, 3)) == 0:
            annotation = Annotated[annotation, Field(alias=name.upper())]
        found[name] = {
            "none": (annotation, ...),
            "static": (annotation, value),
            "factory": (annotation, Field(default_factory=dict if value == {} else lambda value=value: value)),
        }[default]
    return found


def key_names(fields: list[str]) -> dict[str, str]:
    """Names for keys: each field has that of the next one, and the last has one of its own."""
    return dict(zip(fields, [*fields[1:], "a-name of its.own"], strict=False))


def key_of(field: FieldInfo) -> str:
    return next((item.name for item in field.metadata if isinstance(item, KeyName)), "")


kinds = st.recursive(
    scalars | secrets | mixtures | hashables.flatmap(sets),
    lambda inner: inner.flatmap(containers) | inner.map(boxed) | nested_models(inner),
    max_leaves=4,
)
directories = nested_models(kinds, named=True).flatmap(
    lambda kind: st.sampled_from([kind, nullable(kind)]) | hashables.map(lambda key: mapping(key, kind))
)


@st.composite
def classes(draw: st.DrawFn, layout: Layout = "directory") -> tuple[type[EtcdModel], st.SearchStrategy[EtcdModel]]:
    """A class with a key field and up to four others, and its instances."""
    names = st.sampled_from(["alpha", "beta", "gamma", "delta"])
    members = draw(st.dictionaries(names, kinds | directories, max_size=4))
    key = draw(hashables)
    shape = draw(shapes(EtcdModel, members, named=True))
    strict, frozen = draw(st.booleans()), draw(st.booleans())
    arguments = {
        "path": "/made/{name}/of",
        "layout": layout,
        "strict": strict,
        "frozen": frozen,
        "populate_by_name": True,
    }
    fields = {"name": (key.annotation, ...), **shape.fields}
    model = create_model("Made", __base__=shape.base, __cls_kwargs__=arguments, **fields)
    made = cast("type[EtcdModel]", model)
    return made, Shape(shape.base, fields, {"name": key, **members}, shape.extra).instances(made)


def edited(model: EtcdModel, by: EtcdModel, fields: Iterable[str], *, extras: bool) -> EtcdModel:
    """A copy of a model with these fields, and the extra ones if asked for, of another one of its class."""
    copy = model.model_copy(update={name: getattr(by, name) for name in fields}, deep=True)
    if extras:
        object.__setattr__(copy, "__pydantic_extra__", None if by.model_extra is None else dict(by.model_extra))
    return copy
