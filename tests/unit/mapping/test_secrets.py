"""Secrets are stored as what they are, and shown nowhere."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

import pytest
from pydantic import (
    BaseModel,
    BeforeValidator,
    Discriminator,
    Field,
    PlainSerializer,
    RootModel,
    Secret,
    SecretBytes,
    SecretStr,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)
from typing_extensions import TypedDict

from etcdorm.errors import DecodeError, EncodeError, ModelError
from etcdorm.mapping import AsJson, EtcdModel, Sensitive, schema_of
from etcdorm.path import Path

T = TypeVar("T")
S = "s3cr3t"


class Login(BaseModel):
    user: str = "u"
    password: SecretStr = SecretStr("")


class Day(Secret[date]):
    def _display(self) -> str:
        return "****-**-**"


@dataclass
class Credentials:
    password: SecretBytes


class Row(NamedTuple):
    value: SecretStr


class Keys(TypedDict):
    value: Secret[int]


class Tokens(RootModel[list[SecretStr]]):
    pass


class Box(BaseModel, Generic[T]):
    item: T


def declare(annotation: Any, default: object = ..., **arguments: object) -> type[EtcdModel]:
    return create_model(
        "Made", __base__=EtcdModel, __cls_kwargs__={"path": "/made", **arguments}, field=(annotation, default)
    )


def raised(call: Callable[[], object], kind: type[Exception]) -> str:
    """All that an error tells: its text, its repr and the formatted traceback, causes and contexts included."""
    with pytest.raises(kind) as caught:
        call()
    error = caught.value
    return "\n".join([str(error), repr(error), *traceback.format_exception(error)])


@pytest.mark.parametrize(
    ("annotation", "value", "fields"),
    [
        (SecretStr, SecretStr(S), {"field": S}),
        (SecretStr, SecretStr(""), {"field": ""}),
        (SecretStr, SecretStr("**********"), {"field": "**********"}),
        (SecretStr | None, None, {"@null/field": ""}),
        (SecretBytes, SecretBytes(b"\xff\0"), {"field": "_wA="}),
        (Secret[int], Secret(5), {"field": "5"}),
        (Secret[bool], Secret(False), {"field": "false"}),
        (Secret[int | None], Secret(None), {"@null/field": ""}),
        (Secret[bytes], Secret(b"\xff"), {"field": "_w=="}),
        (Day, Day(date(2024, 5, 1)), {"field": "2024-05-01"}),
        (Secret[set[int]], Secret({10, 9}), {"field": "[10,9]"}),
        (Secret[Login], Secret(Login(password=SecretStr(S))), {"field": f'{{"user":"u","password":"{S}"}}'}),
        (Secret[Secret[str]], Secret(Secret(S)), {"field": S}),
        (Annotated[SecretStr, AsJson()], SecretStr(S), {"field": f'"{S}"'}),
        (list[SecretStr], [SecretStr(S)], {"field": f'["{S}"]'}),
        (set[SecretStr], {SecretStr("b"), SecretStr("a")}, {"field": '["a","b"]'}),
        (tuple[SecretStr, int], (SecretStr(S), 1), {"field": f'["{S}",1]'}),
        (int | SecretStr, SecretStr("5"), {"field": '"5"'}),
        (dict[str, SecretStr], {"a": SecretStr(S)}, {"field/a": S}),
        (Login, Login(password=SecretStr(S)), {"field/user": "u", "field/password": S}),
        (dict[str, Login], {"a": Login(password=SecretStr(S))}, {"field/a/user": "u", "field/a/password": S}),
        (list[Login], [Login(password=SecretStr(S))], {"field": f'[{{"user":"u","password":"{S}"}}]'}),
        (Box[SecretStr], Box(item=SecretStr(S)), {"field/item": S}),
        (Credentials, Credentials(SecretBytes(b"\xff")), {"field": '{"password":"_w=="}'}),
        (Row, Row(SecretStr(S)), {"field": f'["{S}"]'}),
        (Keys, {"value": Secret(5)}, {"field": '{"value":5}'}),
        (Tokens, Tokens([SecretStr(S)]), {"field": f'["{S}"]'}),
        (Annotated[str, Sensitive()], S, {"field": S}),
        (Annotated[dict[str, int], Sensitive()], {"a": 1}, {"field/a": "1"}),
    ],
    ids=str,
)
@pytest.mark.parametrize("strict", [False, True], ids=["lax", "strict"])
def test_secrets_are_stored_as_what_they_are(annotation: Any, value: Any, fields: dict[str, str], strict: bool) -> None:
    schema = schema_of(declare(annotation, strict=strict))
    made = schema.model.model_validate({"field": value}, strict=False)
    assert schema.encode(made, document=False) == fields
    for stored in (fields, schema.encode(made, document=True)):
        assert schema.decode(Path.parse("/made"), stored) == made
        assert S not in f"{made} {made!r}"


def test_secrets_in_a_container_that_is_no_list_are_stored_too() -> None:
    schema = schema_of(declare(deque[SecretStr]))
    made = schema.model.model_validate({"field": [S]})
    assert schema.encode(made, document=False) == {"field": f'["{S}"]'}


def test_a_serializer_of_the_users_own_has_the_last_word() -> None:
    """Who encrypts a secret does not find it in the clear."""
    backwards = Annotated[
        SecretStr,
        BeforeValidator(lambda text: text[::-1] if isinstance(text, str) else text),
        PlainSerializer(lambda secret: secret.get_secret_value()[::-1]),
    ]
    schema = schema_of(declare(backwards))
    made = schema.model.model_validate({"field": SecretStr(S)})
    assert schema.encode(made, document=False) == {"field": f'"{S[::-1]}"'}
    assert schema.decode(Path.parse("/made"), {"field": f'"{S[::-1]}"'}) == made


def test_asterisks_are_never_stored_for_a_secret() -> None:
    class Sealed(list[SecretStr]):
        """Not a list to whoever looks at it."""

    schema = schema_of(declare(Any))
    for value in (SecretStr(S), {"a": [SecretStr(S)]}, Sealed([SecretStr(S)])):
        made = schema.model.model_validate({"field": value})
        assert "would come back as another one" in raised(lambda: schema.encode(made, document=False), EncodeError)  # noqa: B023


# -- what is shown -----------------------------------------------------------------------------------------------------


class Inner(BaseModel):
    name: str = "n"
    pin: Annotated[int, Sensitive()] = 1234


class Nested(EtcdModel, path="/nested/{id}"):
    id: int = 1
    port: int = 8080
    token: Annotated[str, Sensitive()] = S
    maybe: Annotated[str, Sensitive()] | None = S
    words: Annotated[dict[str, str], Sensitive()] = {"a": S}
    inner: Inner = Inner()
    inners: list[Inner] = [Inner()]
    passwords: list[SecretStr] = [SecretStr(S)]
    cache: Annotated[str, Sensitive()] = Field(default=S, exclude=True)


class Derived(Inner):
    """A field of its base's type takes an object of it, and shows it with what it has more."""

    token: Annotated[str, Sensitive()] = S


class Open(EtcdModel, path="/open/{id}"):
    id: int = 1
    inner: Inner


class Root(RootModel[Annotated[str, Sensitive()]]):
    pass


def test_those_of_derived_classes_are_not_either() -> None:
    assert repr(Open(inner=Derived())) == "Open(id=1, inner=Derived(name='n'))"


def test_a_root_model_can_not_hide_its_root() -> None:
    with pytest.raises(ModelError, match=r"Made\.field: Root\.root: a RootModel shows its root"):
        declare(Root)


def test_sensitive_fields_are_in_no_repr() -> None:
    shown = "id=1 port=8080 inner=Inner(name='n') inners=[Inner(name='n')] passwords=[SecretStr('**********')]"
    assert str(Nested()) == shown
    assert repr(Nested()) == f"Nested({shown.replace(' ', ', ')})"


def test_a_model_that_refers_to_what_comes_later_is_discreet_too() -> None:
    class Early(EtcdModel, path="/early"):
        token: Annotated[str, Sensitive()]
        later: Later

    class Later(BaseModel):
        pin: Annotated[int, Sensitive()] = 1234

    Early.model_rebuild()
    schema_of(Early)
    assert repr(Early(token=S, later=Later())) == "Early(later=Later())"
    assert S not in raised(lambda: Early.model_validate({"token": [S]}), ValidationError)


@pytest.mark.parametrize("annotation", [SecretStr, Annotated[int, Sensitive()], list[Login], Inner])
@pytest.mark.parametrize("exclude", [False, True])
def test_pydantics_own_errors_about_a_class_with_secrets_do_not_quote(annotation: Any, exclude: bool) -> None:
    model = declare(annotation, Field(default=None, exclude=exclude))
    assert S not in raised(lambda: model.model_validate({"field": [{"pin": S}, S]}), ValidationError)
    assert S not in raised(lambda: model.model_validate(S), ValidationError)


def test_those_about_other_classes_do() -> None:
    assert S in raised(lambda: declare(int).model_validate({"field": S}), ValidationError)


# -- errors ------------------------------------------------------------------------------------------------------------


class Pin(BaseModel):
    kind: Literal["pin"] = "pin"
    pin: SecretStr


class Fob(BaseModel):
    kind: Literal["fob"] = "fob"


class Guarded(EtcdModel, path="/guarded"):
    port: int = 8080
    number: Secret[int] = Secret(1)
    token: Annotated[int, Sensitive()] = 1
    words: Annotated[dict[str, int], Sensitive()] = {}
    inner: Inner = Inner()
    logins: list[Login] = []
    by_name: dict[str, Inner] = {}
    lock: Annotated[Pin | Fob, Discriminator("kind")] = Fob()
    even: Annotated[int, Sensitive()] = 0
    sealed: Annotated[Inner, AsJson()] = Inner()

    @field_validator("even")
    @classmethod
    def check_even(cls, value: int) -> int:
        if value % 2:
            raise ValueError(f"{value} is odd, {S}")
        return value

    @model_validator(mode="after")
    def check_all(self) -> Guarded:
        if self.even == 4:
            raise ValueError(f"four with {S}")
        return self


def failures(fields: dict[str, str]) -> dict[str, tuple[str, str | None]]:
    """Problem and text by field; the secret is nowhere in the error."""
    with pytest.raises(DecodeError) as caught:
        schema_of(Guarded).decode(Path.parse("/guarded"), fields)
    error = caught.value
    assert S not in "".join([str(error), repr(error), repr(error.failures), *traceback.format_exception(error)])
    assert error.__cause__ is error.__context__ is None
    return {failure.field: (failure.problem, failure.text) for failure in error.failures}


HIDDEN = " (not shown, as there is a secret in it)"


def test_a_secret_that_does_not_fit_is_not_quoted() -> None:
    found = failures(
        {
            "port": "many",
            "number": S,
            "token": S,
            "words/a": S,
            "inner/pin": S,
            "by_name/x/pin": S,
            "logins": f'[{{"user":1,"password":"{S}"}}]',
            "lock": f'{{"kind":"{S}"}}',
            "sealed": f'{{"name":[],"pin":"{S}"}}',
            "even": "3",
        }
    )
    number = "Input should be a valid integer, unable to parse string as an integer"
    assert found == {
        "port": (number, "many"),
        "number": (number + HIDDEN, None),
        "token": (number + HIDDEN, None),
        "words.a": (number + HIDDEN, None),
        "inner.pin": (number + HIDDEN, None),
        "by_name.x.pin": (number + HIDDEN, None),
        "logins[0].user": ("Input should be a valid string" + HIDDEN, None),
        "lock": ("Input should have one of the expected tags" + HIDDEN, None),
        "sealed.name": ("Input should be a valid string" + HIDDEN, None),
        "sealed.pin": (number + HIDDEN, None),
        "even": ("not valid: value_error" + HIDDEN, None),
    }


def test_nor_is_one_that_can_not_be_read_at_all() -> None:
    found = failures({"token/x": S, "logins": f"[{S}", "inner": S, "words": S, "by_name/x": S, "by_name/y/name": "n"})
    assert {field: text for field, (_, text) in found.items()} == dict.fromkeys(
        ["token", "logins", "inner", "words", "by_name.x"]
    )
    assert all(problem.endswith(HIDDEN) for problem, _ in found.values())


def test_what_is_not_secret_is_still_shown() -> None:
    assert failures({"inner/name/x": "1"})["inner.name"] == ("a directory, where one key is expected", None)
    assert failures({"": '{"inner":{"name":["n"]}}'})["inner.name"] == ("Input should be a valid string", '["n"]')
    assert failures({"inner/pin": S, "port": "many"})["port"][1] == "many"


@pytest.mark.parametrize(
    "text",
    [
        S,
        f'["{S}"]',
        f'{{"token":"{S}"}}',
        f'{{"inner":"{S}"}}',
        f'{{"inner":{{"pin":"{S}"}}}}',
        f'{{"logins":[{{"password":["{S}"]}}]}}',
        f'{{"words":{{"a":"{S}"}}}}',
        f'{{"by_name":{{"x":{{"pin":"{S}"}}}}}}',
        f'{{"by_name":"{S}"}}',
        f'{{"lock":{{"kind":"{S}"}}}}',
        f'{{"number":"{S}"}}',
        '{"even":4}',
    ],
)
def test_a_document_with_secrets_is_not_quoted(text: str) -> None:
    assert all(text is None for _, text in failures({"": text}).values())


def test_a_value_that_can_not_be_stored_is_not_quoted() -> None:
    for field, value in [("token", S), ("number", Secret(S)), ("inner", Inner.model_construct(pin=S)), ("even", 4)]:
        made = Guarded.model_construct(None, **{field: value})
        for document in (False, True):
            told = raised(lambda: schema_of(Guarded).encode(made, document=document), EncodeError)  # noqa: B023
            assert S not in told
            assert f"Guarded.{'*' if value == 4 else field}" in told


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("annotation", [SecretStr, Secret[int], Annotated[str, Sensitive()], SecretStr | None])
def test_a_part_of_the_path_can_not_be_secret(annotation: Any) -> None:
    with pytest.raises(ModelError, match=r"Made\.field is secret, and a part of the path"):
        declare(annotation, path="/made/{field}")


class Spread(TypedDict):
    pin: Annotated[int, Sensitive()]


class Opened(BaseModel, extra="allow"):
    __pydantic_extra__: dict[str, Annotated[str, Sensitive()]]


@pytest.mark.parametrize(
    "annotation", [list[Annotated[str, Sensitive()]], dict[str, Annotated[int, Sensitive()]], Spread]
)
def test_a_marker_within_a_type_is_refused(annotation: Any) -> None:
    with pytest.raises(ModelError, match=r"Made\.field: Sensitive\(\) marks a field as a whole"):
        declare(annotation)


def test_a_marker_on_extra_fields_is_refused() -> None:
    with pytest.raises(
        ModelError, match=r"Made\.field: Opened\.__pydantic_extra__: Sensitive\(\) and KeyName\(\) go on"
    ):
        declare(Opened)
