"""Classes that can't be mapped are refused when they are made, with the class, the field and what to do."""

from __future__ import annotations

import re
import sys
import typing
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import InitVar, dataclass
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

import pytest
from pydantic import (
    AfterValidator,
    Base64Bytes,
    Base64Str,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Json,
    PlainSerializer,
    PlainValidator,
    RootModel,
    Secret,
    SecretStr,
    WrapValidator,
    create_model,
    field_validator,
    model_validator,
)
from typing_extensions import TypedDict

from etcdorm.errors import ModelError
from etcdorm.mapping import AsJson, EtcdModel, KeyName, Merge, Sensitive
from etcdorm.mapping.checks import RESERVED

T = TypeVar("T")


class Thing:
    """A class that Pydantic knows nothing of."""


class Holder(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    thing: Thing | None = None


class Pair(Enum):
    A = (1, 2)


class Opaque(Enum):
    THING = object()


class Raw(Enum):
    A = b"\xff"


class Price(Enum):
    A = Decimal("1.5")
    B = "free"


class Share(Enum):
    A = 0.5


class Parsed(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    thing: Thing | None = None

    @field_validator("thing", mode="before")
    @classmethod
    def parse(cls, value: object) -> object:
        return value


class Mixed(Enum):
    TEXT = "1"
    NUMBER = 1


class Row(NamedTuple):
    value: str


class Box(BaseModel, Generic[T]):
    item: T | None = None


class Web(BaseModel):
    links: dict[Point, int] = {}


class Point(BaseModel, frozen=True):
    x: int = 0


class Looped(BaseModel):
    inner: Looped | None = None
    call: Callable[[], int] | None = None


class Strange(BaseModel, extra="allow"):
    __pydantic_extra__: dict[str, Callable[[], int]]


@dataclass
class Opened:
    name: str
    by: InitVar[str]


@dataclass
class Kept:
    name: str
    by: InitVar[str] = ""


class Lossy(TypedDict):
    cache: Annotated[int, Field(exclude=True)]


class Old(typing.TypedDict):
    """Not that of typing_extensions."""

    x: int


class Cache(BaseModel):
    entries: Annotated[list[int], Field(exclude=True)]


def generic(origin: Any, *arguments: Any) -> Any:
    return origin[arguments]


def declare(annotation: Any, default: object = ..., **arguments: object) -> type[EtcdModel]:
    arguments = {"path": "/made", "arbitrary_types_allowed": True, **arguments}
    return create_model("Made", __base__=EtcdModel, __cls_kwargs__=arguments, field=(annotation, default))


@pytest.mark.parametrize(
    "annotation",
    [
        *(
            Thing,
            Callable[[], int],
            type[int],
            Literal[b"x"],
            list[Thing],
            int | Thing,
            Thing | None,
            dict[str, Callable[..., None]],
        ),
        *(Iterable[int], Generator[int, None, None], Holder, Annotated[Thing, PlainSerializer(str)]),
    ],
    ids=str,
)
@pytest.mark.parametrize("layout", ["directory", "document"])
def test_types_that_json_has_no_form_for_are_refused(annotation: Any, layout: str) -> None:
    with pytest.raises(ModelError, match=r"Made can't be stored: (Made\.field|Holder\.thing) is of a type"):
        declare(annotation, layout=layout)


@pytest.mark.parametrize("annotation", [Opaque, Pair, Raw, Price, list[Price], Price | None, dict[str, Raw]], ids=str)
@pytest.mark.parametrize("layout", ["directory", "document"])
def test_an_enum_that_can_not_be_read_back_is_refused(annotation: Any, layout: str) -> None:
    with pytest.raises(ModelError, match=r"Made\.field is an Enum with values that can't be read back from JSON"):
        declare(annotation, layout=layout)


def test_a_literal_that_can_not_be_read_back_is_refused() -> None:
    with pytest.raises(ModelError, match=r"Made\.field is a Literal that can't be read back from JSON"):
        declare(Literal[Share.A])


@pytest.mark.parametrize(
    "annotation",
    [
        Share,
        Annotated[Thing, PlainValidator(lambda text: Thing()), PlainSerializer(lambda thing: "thing")],
        *(
            Any,
            object,
            re.Pattern[str],
            Mapping[str, Any],
            dict[Any, Any],
            dict[int | str, int],
            dict[Annotated[tuple[int, int], BeforeValidator(str.split), PlainSerializer(str)], int],
            dict[Annotated[Mixed, BeforeValidator(str)], int],
            Annotated[Thing | None, BeforeValidator(lambda text: Thing()), AfterValidator(bool)],
            Annotated[Pair, BeforeValidator(tuple)],
            Annotated[Opaque, BeforeValidator(lambda name: Opaque[name]), PlainSerializer(str)],
            Annotated[Thing | None, WrapValidator(lambda value, handler: handler(value))],
            Parsed,
        ),
    ],
    ids=lambda annotation: re.sub(" at 0x[0-9a-f]+", "", str(annotation)),  # each process has its own addresses
)
def test_types_are_not_refused_when_the_value_decides(annotation: Any) -> None:
    declare(annotation)


@pytest.mark.parametrize(
    "annotation", [Thing, Callable[[], int], Annotated[Thing, Field(exclude=True)], dict[Row, int]], ids=str
)
def test_an_excluded_field_may_be_anything(annotation: Any) -> None:
    declare(annotation, Field(default=None, exclude=True))


@pytest.mark.parametrize(
    "key",
    [Literal[1, 2], tuple[int, int], frozenset[str], Row, Box[int], Mixed, int | tuple[int, int], Mixed | str, None],
    ids=str,
)
def test_a_map_with_keys_that_are_no_text_is_refused(key: Any) -> None:
    for annotation in (generic(dict, key, int), list[generic(dict, key, int)], Box[generic(dict, key, int)]):  # type: ignore[misc]
        with pytest.raises(ModelError, match=r"Made can't be stored: .+\.(field|item) is a map whose keys can't be"):
            declare(annotation)


def test_a_map_whose_keys_are_not_known_yet_is_looked_at_when_they_are() -> None:
    with pytest.raises(ModelError, match=r"Web\.links is a map whose keys can't be keys in JSON"):
        declare(Web)


def test_a_secret_may_not_be_a_key() -> None:
    for annotation in (dict[SecretStr, int], list[dict[Secret[int], int]], Mapping[tuple[SecretStr, int], int]):
        with pytest.raises(ModelError, match=r"Made\.field: a secret can't be the key of a map"):
            declare(annotation)


def test_what_is_made_of_something_that_is_not_stored_is_refused() -> None:
    for annotation in (Opened, list[Opened], Lossy):
        with pytest.raises(ModelError, match=r"Made\.field is made of '(by|cache)', which is not stored; give"):
            declare(annotation)
    declare(Kept)


def test_extra_fields_that_json_has_no_form_for_are_refused() -> None:
    with pytest.raises(ModelError, match=r"Made can't be stored: Strange\.__pydantic_extra__ is of a type"):
        declare(Strange)


def test_the_type_of_extra_fields_has_to_be_known_in_its_module() -> None:
    class Local(BaseModel):
        pass

    class Inner(BaseModel, extra="allow"):
        __pydantic_extra__: dict[str, Local]

    with pytest.raises(ModelError, match=r"Inner\.__pydantic_extra__: the name 'Local' is not known in its module"):
        declare(Inner)


def test_a_recursive_model_with_a_field_that_json_has_no_form_for_is_refused() -> None:
    with pytest.raises(ModelError, match=r"Made can't be stored: Looped\.call is of a type"):
        declare(Looped)


def test_a_type_that_pydantic_knows_nothing_of_is_refused_by_the_fields_name() -> None:
    with pytest.raises(ModelError, match=r"Made\.second: .*Thing.*arbitrary_types_allowed"):

        class Made(EtcdModel, path="/made"):
            first: int
            second: list[Thing]


@pytest.mark.parametrize(
    "annotation",
    [
        list[str],
        str | int,
        dict[str, str],
        Point,
        Mixed,
        Any,
        Annotated[str, AsJson()],
        Annotated[int, PlainSerializer(str)],
    ],
    ids=str,
)
def test_a_key_field_must_be_a_scalar(annotation: Any) -> None:
    with pytest.raises(ModelError, match=r"Made\.field: a key field is plain text"):
        declare(annotation, path="/made/{field}")


@pytest.mark.parametrize("annotation", [Base64Str, Base64Bytes, Json, Json[int], Json[str] | None], ids=str)
def test_a_key_field_may_not_be_encoded(annotation: Any) -> None:
    with pytest.raises(ModelError, match=r"Made\.field is part of the path, and its type takes something else"):
        declare(annotation, path="/made/{field}")


def test_a_key_that_is_no_field_is_refused() -> None:
    with pytest.raises(ModelError, match="Made: 'name' is in the path but is not a field"):
        declare(int, path="/made/{name}")


def test_a_path_that_is_no_template_is_refused() -> None:
    with pytest.raises(ModelError, match="the path 'made' can't be a template"):
        declare(int, path="made")


def test_a_layout_that_there_is_not_is_refused() -> None:
    with pytest.raises(ModelError, match="Made: the layout 'flat' must be one of"):
        declare(int, layout="flat")


@pytest.mark.parametrize("marker", [AsJson, KeyName, Merge, Sensitive])
def test_a_marker_without_its_parentheses_is_refused(marker: Any) -> None:
    for annotation in (Annotated[str, marker], list[Annotated[str, marker]], Annotated[str, marker] | None):
        with pytest.raises(ModelError, match=rf"Made\.field: the marker {marker.__name__} does nothing without"):
            declare(annotation, "")


@pytest.mark.parametrize(
    ("annotation", "arguments", "why"),
    [
        (Annotated[str, Merge("max")], {"path": "/made/{field}"}, "is part of the path"),
        (Annotated[str, Merge("max"), Field(exclude=True, default="")], {}, "is excluded from what is stored"),
        (dict[str, Annotated[int, Merge("max")]], {}, "can't stand within its type"),
        (Annotated[str, Merge("union")], {}, "is for sets, lists and tuples, and this is a str"),
        (Annotated[int | None, Merge("union")], {}, "is for sets, lists and tuples, and this is a int"),
    ],
)
def test_a_rule_that_could_not_work_is_refused(annotation: Any, arguments: dict[str, object], why: str) -> None:
    with pytest.raises(ModelError, match=rf"Made\.field.* {why}"):
        declare(annotation, **arguments)


@pytest.mark.parametrize("annotation", [set[str], list[int] | None, tuple[int, ...], Any, frozenset])
def test_a_union_of_what_may_be_one_is_not(annotation: Any) -> None:
    declare(Annotated[annotation, Merge("union")])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"path": 5}, "Made: the path 5 must be a text"),
        ({"path": ""}, "the path '' can't be a template"),
        ({"vesion": 2}, "Made: no class option is called vesion; there are path, layout, ttl and version"),
        ({"ttl": 0}, "Made: the ttl 0 must be whole seconds"),
    ],
)
def test_an_option_that_is_none_is_refused(arguments: dict[str, object], why: str) -> None:
    with pytest.raises(ModelError, match=why):
        declare(int, **arguments)


def test_a_typed_dict_that_pydantic_can_not_take_is_refused_by_the_fields_name() -> None:
    if sys.version_info >= (3, 12):
        declare(list[Old])  # there it can
    else:
        with pytest.raises(ModelError, match=r"Made\.field: .*typing_extensions\.TypedDict"):
            declare(list[Old])


def test_an_excluded_field_needs_a_default() -> None:
    with pytest.raises(ModelError, match=r"Made\.field is excluded"):
        declare(Annotated[int, Field(exclude=True)])
    with pytest.raises(ModelError, match=r"Made\.field: Cache\.entries is excluded"):
        declare(list[Cache])


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_field_may_not_hide_a_name_of_etcd_models_own(name: str) -> None:
    with pytest.raises(ModelError, match=rf"Made\.{name}: every EtcdModel has '{name}' already"):
        create_model("Made", __base__=EtcdModel, **{name: (str, "")})  # type: ignore[call-overload]  # its one signature


def test_a_field_of_a_mixin_may_not_either() -> None:
    class Mixin(BaseModel):
        key: str = ""

    with pytest.raises(ModelError, match="every EtcdModel has 'key' already"):
        create_model("Made", __base__=(Mixin, EtcdModel), __cls_kwargs__={"path": "/made"})


def test_every_public_name_of_etcd_models_own_is_reserved() -> None:
    public = {name for name in vars(EtcdModel) if not name.startswith(("_", "model_"))}
    assert public == RESERVED


def test_the_field_that_has_no_form_in_json_is_the_one_that_is_named() -> None:
    with pytest.raises(ModelError, match=r"Made\.third is of a type"):

        class Made(EtcdModel, path="/made", arbitrary_types_allowed=True):
            first: Annotated[Thing | None, Field(exclude=True)] = None
            second: Thing | None = None
            third: dict[str, Thing] = {}

            @field_validator("second", mode="before")
            @classmethod
            def parse(cls, value: object) -> object:
                return value

            @model_validator(mode="before")
            @classmethod
            def migrate(cls, value: object) -> object:
                return value


def test_a_dataclass_with_types_that_only_its_function_knows_is_left_to_pydantic() -> None:
    class Inner(BaseModel):
        value: int = 0

    @dataclass
    class Outer:
        inner: Inner

    declare(Outer)


def test_a_root_model_is_refused() -> None:
    with pytest.raises(ModelError, match="RootModel has no fields to store"):

        class Rooted(EtcdModel, RootModel[int], path="/rooted"):
            pass
