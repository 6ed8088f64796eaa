"""Classes that can't be mapped are refused when they are made, with the class, the field and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypeVar

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    RootModel,
    Secret,
    SecretBytes,
    SecretStr,
    WrapValidator,
    create_model,
    field_validator,
    model_validator,
)
from typing_extensions import TypeAliasType, TypedDict

from etcdorm.errors import ModelError
from etcdorm.mapping import AsJson, EtcdModel
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


class Login(BaseModel):
    password: SecretStr = SecretStr("")


@dataclass
class Credentials:
    password: SecretBytes


class Token(TypedDict):
    value: Secret[int]


class Row(NamedTuple):
    value: SecretStr


class Box(BaseModel, Generic[T]):
    item: T | None = None


class Tree(BaseModel):
    children: dict[str, Tree] = {}
    secret: SecretStr | None = None


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class Cache(BaseModel):
    entries: list[int] = Field(exclude=True)


Hidden = NewType("Hidden", SecretStr)
Alias = TypeAliasType("Alias", list[SecretStr])


def declare(annotation: Any, default: object = ..., **arguments: object) -> type[EtcdModel]:
    arguments = {"path": "/made", "arbitrary_types_allowed": True, **arguments}
    return create_model("Made", __base__=EtcdModel, __cls_kwargs__=arguments, field=(annotation, default))


@pytest.mark.parametrize(
    "annotation",
    [
        *(SecretStr, SecretBytes, Secret[int], SecretStr | None, list[SecretStr], dict[str, tuple[SecretStr, int]]),
        *(Login, dict[str, Login], Credentials, list[Credentials], Token, Row, Box[SecretStr], Tree, Hidden, Alias),
        *(Annotated[SecretStr, AsJson()], int | SecretStr),
    ],
    ids=str,
)
def test_secrets_are_refused_wherever_they_are(annotation: Any) -> None:
    with pytest.raises(ModelError, match=r"Made\.field: secrets can't be stored yet"):
        declare(annotation)


@pytest.mark.parametrize(
    "annotation",
    [
        *(
            Thing,
            Opaque,
            Callable[[], int],
            type[int],
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


@pytest.mark.parametrize(
    "annotation",
    [
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
            Pair,
            Parsed,
        ),
    ],
    ids=lambda annotation: re.sub(" at 0x[0-9a-f]+", "", str(annotation)),  # each process has its own addresses
)
def test_types_are_not_refused_when_the_value_decides(annotation: Any) -> None:
    declare(annotation)


@pytest.mark.parametrize(
    "annotation", [Thing, SecretStr, Callable[[], int], Annotated[Thing, Field(exclude=True)]], ids=str
)
def test_an_excluded_field_may_be_anything(annotation: Any) -> None:
    declare(annotation, Field(default=None, exclude=True))


@pytest.mark.parametrize(
    "key",
    [Literal[1, 2], tuple[int, int], frozenset[str], Credentials, Box[int], Mixed, int | tuple[int, int], Mixed | str],
    ids=str,
)
def test_a_map_with_keys_that_are_no_text_is_refused(key: Any) -> None:
    annotation: Any = dict
    with pytest.raises(ModelError, match=r"Made\.field: .*(can't be a key|secrets)"):
        declare(annotation[key, int])


@pytest.mark.parametrize(
    "annotation",
    [
        list[str],
        str | int,
        dict[str, str],
        Login,
        Mixed,
        Any,
        Annotated[str, AsJson()],
        Annotated[int, PlainSerializer(str)],
    ],
    ids=str,
)
def test_a_key_field_must_be_a_scalar(annotation: Any) -> None:
    with pytest.raises(ModelError, match=r"Made\.field: (a key field is plain text|secrets)"):
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


def test_extra_fields_are_refused_in_a_directory() -> None:
    with pytest.raises(ModelError, match=r"Made: Made allows extra fields.*document"):
        declare(int, extra="allow")
    with pytest.raises(ModelError, match=r"Made\.field: Open allows extra fields.*AsJson"):
        declare(dict[str, Open])
    declare(int, extra="allow", layout="document")
    declare(Annotated[Open, AsJson()])


def test_an_excluded_field_needs_a_default() -> None:
    with pytest.raises(ModelError, match=r"Made\.field is excluded"):
        declare(Annotated[int, Field(exclude=True)])
    with pytest.raises(ModelError, match=r"Cache\.entries is excluded"):
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
