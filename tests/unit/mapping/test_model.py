"""EtcdModel: how a class is declared, its keys, and the place of its objects."""

from __future__ import annotations

import copy
import pickle
import time
from enum import Enum
from typing import Annotated, Generic, TypeVar
from uuid import UUID

import pytest
from hypothesis import given
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, StringConstraints, ValidationError

from etcdorm.errors import ModelError, UsageError
from etcdorm.mapping import EtcdModel, Place, place_of, schema_of, set_place
from etcdorm.path import Path
from etcdorm.store.types import Record, Version
from tests.unit.mapping.generated import quiet, texts

T = TypeVar("T")


class Zone(Enum):
    EAST = "east"


class Node(EtcdModel, path="/dc/{dc}/nodes/{name}"):
    dc: str
    name: str
    port: int = 8080


class Noted(EtcdModel, path="/dc/{dc}/nodes/{name}"):
    dc: Annotated[str, "a note"]
    name: Annotated[str, "a note"]


class Frozen(EtcdModel, path="/frozen/{id}", frozen=True):
    id: str | None = None
    values: list[int] = []


class Slot(EtcdModel, path="/slots/{number}/{zone}"):
    number: int
    zone: Zone


class Later(EtcdModel, path="/later/{name}"):
    name: str
    rest: Rest | None = None


class Holder(EtcdModel, path="/holder"):
    later: Later | None = None


class Rest(BaseModel):
    value: int = 0


class Shelf(EtcdModel, Generic[T], path="/shelf/{key_text}"):
    key_text: T
    value: T | None = None


def record(*, ttl: int | None = None) -> Record:
    return Record(Path.parse("/dc/eu/nodes/n1"), {"port": "1"}, Version(7), created=3, modified=9, ttl=ttl)


# Declaring


def test_path_and_layout_are_inherited_and_may_be_changed() -> None:
    class Base(EtcdModel, layout="document"):
        name: str

    class One(Base, path="/one/{name}"):
        pass

    class Two(One, layout="directory"):
        pass

    assert schema_of(One).layout == "document"
    assert schema_of(Two).layout == "directory"
    assert schema_of(Two).template.text == "/one/{name}"
    assert schema_of(Two) is not schema_of(One)


def test_the_schema_of_a_class_is_compiled_once() -> None:
    assert schema_of(Node) is schema_of(Node)


def test_a_class_without_a_path_is_abstract() -> None:
    class Base(EtcdModel):
        name: str

    assert Base(name="a").name == "a"
    with pytest.raises(ModelError, match="Base has no path"):
        Base.key("a")
    with pytest.raises(ModelError, match="Base has no path"):
        schema_of(Base)


def test_settings_of_pydantic_are_class_arguments_and_merge_with_those_of_the_base() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Frozen(id="a").id = "b"  # type: ignore[misc]  # mypy knows it too
    assert Frozen.model_config["ser_json_bytes"] == "base64"

    class Strict(EtcdModel, path="/strict"):
        model_config = ConfigDict(strict=True)
        data: bytes = b""

    with pytest.raises(ValidationError):
        Strict.model_validate({"data": "text"})
    assert Strict.model_config["val_json_bytes"] == "base64"


def test_the_constructor_is_checked_by_mypy_without_a_plugin() -> None:
    with pytest.raises(ValidationError):
        Node(dc="eu", name="n1", port="x")  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        Node(dc="eu")  # type: ignore[call-arg]


def test_a_class_with_forward_references_is_compiled_when_it_is_first_used() -> None:
    assert Holder.key() == "/holder"
    assert Later.key("a") == "/later/a"


def test_a_forward_reference_that_leads_nowhere_is_a_model_error() -> None:
    class Lost(EtcdModel, path="/lost"):
        thing: Nowhere | None = None  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(ModelError, match=r"Lost refers to 'Nowhere'.*model_rebuild"):
        Lost.key()


def test_a_generic_class_is_compiled_with_its_arguments() -> None:
    assert Shelf[int].match_key("/shelf/7") == {"key_text": 7}
    assert schema_of(Shelf[int]).encode(Shelf[int](key_text=1, value=2), document=False) == {"value": "2"}


# Keys


def test_a_key_is_given_in_order_or_by_name() -> None:
    assert Node.key("eu", "n/1") == "/dc/eu/nodes/n%2F1"
    assert Node.key("eu", name="n1") == Node.key(name="n1", dc="eu") == "/dc/eu/nodes/n1"
    assert Slot.key(7, Zone.EAST) == Slot.key("7", "east") == "/slots/7/east"


def test_a_path_gives_its_typed_keys_back() -> None:
    assert Node.match_key(Node.key("", "@x")) == {"dc": "", "name": "@x"}
    assert Slot.match_key("/slots/7/east") == {"number": 7, "zone": Zone.EAST}


@pytest.mark.parametrize(
    "path", ["/slots/7", "/slots/x/east", "/slots/7/west", "/slots/07/east", "/other/7/east", "slots", "/slots//east"]
)
def test_a_path_that_the_class_does_not_make_gives_no_keys(path: str) -> None:
    assert Slot.match_key(path) is None


@pytest.mark.parametrize(
    ("args", "fields", "reason"),
    [
        ((), {}, "needs 'dc', 'name'"),
        (("eu",), {}, "needs 'name'"),
        (("eu", "n1", "x"), {}, "takes 2"),
        (("eu", "n1"), {"dc": "us"}, "'dc' twice"),
        (("eu", "n1"), {"port": 1}, "'port' is not a key field of Node; there are: 'dc', 'name'"),
        (("eu", 1), {}, "Node.name can't be this: Input should be a valid string"),
        (("eu", None), {}, "Node.name can't be this"),
        (("eu", "\ud800"), {}, "can't be read back"),
    ],
)
def test_a_key_that_can_not_be_is_a_usage_error(
    args: tuple[object, ...], fields: dict[str, object], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        Node.key(*args, **fields)


def test_a_key_is_what_its_type_makes_of_it() -> None:
    class User(EtcdModel, path="/users/{name}"):
        name: Annotated[str, StringConstraints(to_lower=True, min_length=2)]

    assert User.key("ANN") == "/users/ann"
    with pytest.raises(UsageError, match="at least 2"):
        User.key("x")


@given(texts, texts)
@quiet
def test_a_plain_text_key_is_what_any_text_key_is(dc: str, name: str) -> None:
    """Plain ones take a shorter way."""
    assert Node.key(dc, name) == Noted.key(dc, name)
    assert schema_of(Node).path(Node(dc=dc, name=name)) == schema_of(Noted).path(Noted(dc=dc, name=name))
    assert Node.match_key(Node.key(dc, name)) == {"dc": dc, "name": name}


def test_the_keys_of_a_collection_are_typed_and_may_be_any_of_them() -> None:
    schema = schema_of(Slot)
    assert str(schema.collection({"number": "7"}).prefix) == "/slots/7"
    by_zone = schema.collection({"zone": Zone.EAST})
    assert str(by_zone.prefix) == "/slots"
    assert by_zone.matches(Path.parse("/slots/7/east"))
    assert not by_zone.matches(Path.parse("/slots/7/west"))
    with pytest.raises(UsageError, match="'size' is not a key field of Slot"):
        schema.collection({"size": 1})


def test_a_model_without_its_key_has_no_path() -> None:
    with pytest.raises(UsageError, match=r"Frozen\.id is None"):
        schema_of(Frozen).path(Frozen())


def test_a_key_that_was_set_to_what_its_type_does_not_allow_gives_no_path() -> None:
    node = Node(dc="eu", name="n1")
    node.name = 5  # type: ignore[assignment]
    with pytest.raises(UsageError, match=r"Node\.name"):
        schema_of(Node).path(node)


# Appending


def test_a_server_may_make_the_last_key_also_of_a_frozen_model() -> None:
    schema, event = schema_of(Frozen), Frozen(values=[1])
    assert str(schema.append_directory(event)) == "/frozen"
    schema.with_key(event, Path.parse("/frozen/0001"))
    assert event == Frozen(id="0001", values=[1])
    assert "id" in event.model_fields_set


def test_a_model_whose_key_is_still_to_be_made_can_be_encoded() -> None:
    assert schema_of(Frozen).encode(Frozen(values=[1]), document=True) == {"": '{"values":[1]}'}


def test_the_other_keys_give_the_directory_to_append_to() -> None:
    class Event(EtcdModel, path="/streams/{stream}/{id}"):
        stream: int
        id: str = ""

    assert str(schema_of(Event).append_directory(Event(stream=3))) == "/streams/3"


def test_only_a_class_whose_path_ends_in_free_text_can_be_appended() -> None:
    class Numbered(EtcdModel, path="/numbered/{number}"):
        number: int = 0

    with pytest.raises(UsageError, match="Numbered can't be appended"):
        schema_of(Numbered).append_directory(Numbered())
    with pytest.raises(UsageError, match="Holder can't be appended"):
        schema_of(Holder).append_directory(Holder())


def test_a_key_is_taken_only_from_a_path_of_the_class() -> None:
    with pytest.raises(UsageError, match="is not a path of Frozen"):
        schema_of(Frozen).with_key(Frozen(), Path.parse("/other/1"))


# Places


def test_a_model_that_was_never_saved_has_no_place() -> None:
    assert Node(dc="eu", name="n1").etcd is None


def test_a_place_says_where_a_model_is_and_as_what_it_was_seen() -> None:
    node = Node(dc="eu", name="n1")
    set_place(node, Place.of(record()))
    assert node.etcd is place_of(node)
    assert node.etcd is not None
    assert repr(node.etcd) == "Place(path='/dc/eu/nodes/n1', version=7, created_index=3, modified_index=9)"
    assert node.etcd.record == record()
    set_place(node, None)
    assert node.etcd is None


def test_the_ttl_of_a_place_runs_down_to_zero() -> None:
    assert Place.of(record()).ttl is None
    now = time.monotonic()
    left = Place.of(record(ttl=60), read_at=now - 10).ttl
    assert left is not None
    assert 45 < left <= 50
    assert Place.of(record(ttl=60), read_at=now - 61).ttl == 0.0


@pytest.mark.parametrize("made", [Node(dc="eu", name="n1"), Frozen(id="a", values=[1])], ids=["plain", "frozen"])
def test_a_place_is_no_part_of_a_models_value(made: EtcdModel) -> None:
    plain, placed, elsewhere = made.model_copy(), made.model_copy(), made.model_copy()
    set_place(placed, Place.of(record()))
    set_place(elsewhere, Place.of(record(ttl=5)))
    assert plain == placed == elsewhere
    assert placed.model_copy(update={next(iter(type(made).model_fields)): "other"}) != placed
    assert placed.model_dump() == plain.model_dump()
    assert placed.model_dump_json() == plain.model_dump_json()
    assert repr(placed) == repr(plain)
    assert dict(placed) == dict(plain)
    assert placed.model_fields_set == plain.model_fields_set
    assert placed.model_extra is None


def test_frozen_models_with_places_hash_alike() -> None:
    class Point(EtcdModel, path="/point/{x}", frozen=True):
        x: int

    placed = Point(x=1)
    set_place(placed, Place.of(record()))
    assert hash(placed) == hash(Point(x=1))


def test_copies_keep_the_place() -> None:
    node = Node(dc="eu", name="n1")
    set_place(node, Place.of(record()))
    for again in (
        node.model_copy(),
        node.model_copy(deep=True),
        copy.copy(node),
        copy.deepcopy(node),
        pickle.loads(pickle.dumps(node)),
    ):
        assert again == node
        assert again.etcd == node.etcd


def test_a_placed_model_can_be_a_field_of_another_one() -> None:
    node = Later(name="n1")
    set_place(node, Place.of(record()))
    holder = Holder(later=node)
    assert schema_of(Holder).encode(holder, document=False) == {"later/name": "n1"}
    assert holder == Holder(later=Later(name="n1"))


def test_key_fields_may_be_dumped_in_a_form_of_their_own() -> None:
    class Tagged(EtcdModel, path="/tagged/{id}"):
        id: UUID
        size: Annotated[int, PlainSerializer(str)] = Field(default=1)

    path = Tagged.key("00000000-0000-0000-0000-00000000000A")
    assert path == "/tagged/00000000-0000-0000-0000-00000000000a"
    assert schema_of(Tagged).decode(Path.parse(path), {}).id == UUID(int=10)
