"""Values that could not be loaded again never reach etcd; the field is named, and no value."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import (
    BaseModel,
    Field,
    HttpUrl,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    SecretStr,
    SerializeAsAny,
    field_serializer,
)

from etcdorm.errors import EncodeError
from etcdorm.mapping import EtcdModel, schema_of
from etcdorm.path import Path

SECRET = "s3cr3t"


class Limits(BaseModel):
    cpu: int = 1


class MoreLimits(Limits):
    memory: int = 1


class Unwritable:
    def __repr__(self) -> str:
        return SECRET


class Node(EtcdModel, path="/nodes/{name}"):
    name: str
    port: int = 8080
    text: str = ""
    limits: Limits = Limits()
    labels: dict[str, str] = {}
    ports: list[int] = []
    order: Sequence[int] = []
    anything: Any = None
    at: datetime | None = None


@pytest.mark.parametrize("document", [False, True], ids=["directory", "document"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("port", SECRET),
        ("port", "8080"),
        ("port", None),
        ("port", [1]),
        ("text", 8080),
        ("text", "\ud800"),
        ("limits", None),
        ("limits", {"cpu": 2}),
        ("limits", Limits.model_construct(cpu=SECRET)),
        ("limits", MoreLimits()),
        ("labels", {"a": 1}),
        ("labels", {1: "a"}),
        ("labels", {"a": "\ud800"}),
        ("labels", {"\ud800": "a"}),
        ("labels", [SECRET]),
        ("ports", [SECRET]),
        ("ports", (1, 2)),
        ("order", (1, 2)),
        ("anything", {1, 2}),
        ("anything", Unwritable()),
        ("anything", SecretStr(SECRET)),
        ("anything", datetime(2024, 1, 1)),
        ("anything", b"\xff"),
        ("at", datetime(2024, 1, 1, tzinfo=timezone(timedelta(seconds=1)))),
        ("at", "tomorrow"),
        ("name", None),
        ("name", Unwritable()),
    ],
    ids=repr,
)
def test_a_value_that_would_not_come_back_is_refused(field: str, value: object, document: bool) -> None:
    node = Node(name="n1")
    setattr(node, field, value)
    with pytest.raises(EncodeError, match=rf"^this Node can't be stored:\n  Node\.{field}\b") as caught:
        schema_of(Node).encode(node, document=document)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_field_that_is_not_there_is_named() -> None:
    with pytest.raises(EncodeError, match=r"Node\.name"):
        schema_of(Node).encode(Node.model_construct(), document=False)


def test_every_field_that_does_not_fit_is_named() -> None:
    node = Node(name="n1")
    node.port, node.limits.cpu = SECRET, SECRET  # type: ignore[assignment]
    with pytest.raises(EncodeError) as caught:
        schema_of(Node).encode(node, document=False)
    assert "Node.port: " in str(caught.value)
    assert "Node.limits.cpu: " in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_default_that_can_not_be_stored_is_refused_when_it_is_to_be_stored() -> None:
    class Made(EtcdModel, path="/made"):
        limits: Limits = Limits.model_construct(cpu=Unwritable())

    with pytest.raises(EncodeError, match=r"Made\.limits: Pydantic can't dump this value"):
        schema_of(Made).encode(Made(), document=False)


def test_what_a_serializer_of_the_users_own_gives_has_to_be_readable() -> None:
    class Odd(BaseModel):
        labels: dict[str, str] = {}

        @field_serializer("labels")
        def joined(self, value: dict[str, str]) -> str:
            return ",".join(value)

    class Made(EtcdModel, path="/made"):
        labels: Annotated[dict[str, str], PlainSerializer(lambda value: ",".join(value))] = {}
        odd: Odd = Odd()

    for value in (Made(labels={"a": "b"}), Made(odd=Odd(labels={"a": "b"}))):
        with pytest.raises(EncodeError, match="labels: Input should be"):
            schema_of(Made).encode(value, document=False)


def test_what_a_subclass_adds_has_no_place_in_a_directory() -> None:
    class Loose(EtcdModel, path="/loose"):
        limits: SerializeAsAny[Limits]

    with pytest.raises(EncodeError, match=r"Loose\.limits\.memory: it is no field of its model, which allows no extra"):
        schema_of(Loose).encode(Loose(limits=MoreLimits()), document=False)


def test_what_is_never_stored_does_not_count() -> None:
    class Counted(EtcdModel, path="/counted"):
        a: int = 1
        _calls: int = PrivateAttr(0)

    counted = Counted()
    counted._calls = 5
    assert schema_of(Counted).encode(counted, document=False) == {"a": "1"}


def test_an_extra_field_that_can_not_be_dumped_is_named() -> None:
    class Extra(EtcdModel, path="/extra", extra="allow"):
        pass

    for document in (True, False):
        with pytest.raises(EncodeError, match=r"Extra\.odd: Pydantic can't dump"):
            schema_of(Extra).encode(Extra.model_validate({"odd": object()}), document=document)


class Plain:
    """Without an ``__eq__``."""


def test_a_value_that_equals_itself_alone_is_told_what_it_needs() -> None:
    class Holder(EtcdModel, path="/holder"):
        plain: Annotated[Plain, PlainValidator(lambda text: Plain()), PlainSerializer(lambda plain: "plain")]

    with pytest.raises(EncodeError, match=r"Holder\.plain: .* as a Plain is equal to itself alone: give its class"):
        schema_of(Holder).encode(Holder(plain=Plain()), document=False)


def test_a_time_that_the_clock_shows_twice_is_stored() -> None:
    twice = datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1)
    schema = schema_of(Node)
    fields = schema.encode(Node(name="n1", at=twice), document=False)
    loaded = schema.decode(Path.parse("/nodes/n1"), fields)
    assert loaded.at is not None
    assert loaded.at.astimezone(UTC) == twice.astimezone(UTC)


def test_a_signalling_nan_is_refused_by_its_field() -> None:
    class Made(EtcdModel, path="/made"):
        number: Annotated[Decimal, Field(allow_inf_nan=True)] = Decimal(0)
        prices: list[Annotated[Decimal, Field(allow_inf_nan=True)]] = []

    for made, name in ((Made(number=Decimal("sNaN")), "number"), (Made(prices=[Decimal("sNaN")]), "prices")):
        with pytest.raises(EncodeError, match=rf"Made\.{name}: a signalling NaN can't be compared"):
            schema_of(Made).encode(made, document=False)
    assert schema_of(Made).encode(Made(number=Decimal("NaN")), document=False) == {"number": "NaN", "prices": "[]"}


def test_a_default_that_was_never_validated_is_told_to_be_one() -> None:
    class Made(EtcdModel, path="/made"):
        url: HttpUrl = "https://example.org/"  # type: ignore[assignment]

    with pytest.raises(EncodeError, match=r"Made\.url: .* another one; it is the default, .* validate_default=True"):
        schema_of(Made).encode(Made(), document=False)


def test_bytes_of_a_model_with_settings_of_its_own_are_told_what_these_need() -> None:
    class Plain(BaseModel):
        raw: bytes

    class Made(EtcdModel, path="/made"):
        plain: Plain

    with pytest.raises(
        EncodeError, match=r"Made\.plain: .* bytes that are no UTF-8, in a model without ser_json_bytes"
    ):
        schema_of(Made).encode(Made(plain=Plain(raw=b"\xff")), document=False)
    assert schema_of(Made).encode(Made(plain=Plain(raw=b"a")), document=False) == {"plain/raw": "a"}
