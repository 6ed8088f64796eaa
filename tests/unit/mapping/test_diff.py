"""What a save changes; that it leads to the right record is tested on generated models in test_round_trip."""

from __future__ import annotations

import pytest

from etcdorm.mapping import EtcdModel, changes, schema_of
from etcdorm.path import Path


class Node(EtcdModel, path="/nodes/{name}"):
    name: str
    host: str = ""
    port: int | None = 8080
    labels: dict[str, str] | None = {"a": "1", "b": "2"}


def test_nothing_changes_when_nothing_did() -> None:
    assert changes({"a": "1"}, {"a": "1"}, {"a": "1"}) == {}


def test_only_the_keys_of_the_changed_field_are_written() -> None:
    before, after = {"a": "1", "b": "1", "c": "1"}, {"a": "1", "b": "2", "d": "1"}
    assert changes(before, after, before) == {"b": "2", "c": None, "d": "1"}


def test_a_document_is_written_whole() -> None:
    assert changes({"": "{}"}, {"": '{"a":1}'}, {"": "{}"}) == {"": '{"a":1}'}


@pytest.mark.parametrize(
    ("stored", "update", "expected"),
    [
        # Another tool's spelling, and a default without a key, are left alone.
        ({"port": "08080"}, {}, {}),
        ({"port": "08080"}, {"host": "h"}, {"host": "h"}),
        ({}, {"port": 8080}, {}),
        # The default of a map holds only while it has no keys: with one, the others are needed.
        ({}, {"labels": {"a": "1", "b": "3"}}, {"labels/a": "1", "labels/b": "3"}),
        ({}, {"labels": {"a": "1"}}, {"labels/a": "1"}),
        ({}, {"labels": {}}, {"labels/@empty": ""}),
        # Markers come and go with what they stand for.
        ({"port": "1"}, {"port": None}, {"port": None, "@null/port": ""}),
        ({"@null/port": ""}, {"port": 1}, {"port": "1", "@null/port": None}),
        ({"labels/a": "1"}, {"labels": None}, {"labels/a": None, "@null/labels": ""}),
        # A marker that another tool's key hid does not come to light.
        (
            {"labels/a": "1", "@null/labels": ""},
            {"labels": {}},
            {"labels/a": None, "labels/@empty": "", "@null/labels": None},
        ),
        (
            {"labels/a": "1", "labels/@empty": ""},
            {"labels": {"b": "1"}},
            {"labels/a": None, "labels/b": "1", "labels/@empty": None},
        ),
        # Keys that are not the model's stay.
        ({"x": "1", "port/x": "1", "port": "1"}, {"port": 2}, {"port": "2"}),
    ],
)
def test_a_field_is_written_when_it_changed_and_then_completely(
    stored: dict[str, str], update: dict[str, object], expected: dict[str, str | None]
) -> None:
    schema = schema_of(Node)
    loaded = schema.decode(Path.parse("/nodes/n"), stored)
    before = schema.encode(loaded, document=False)
    after = schema.encode(loaded.model_copy(update=update), document=False)
    assert changes(before, after, stored) == expected


def test_what_is_gone_as_a_whole_goes_with_keys_that_another_version_put_there() -> None:
    stored = {"tls/cert": "c", "tls/newer": "x", "backs/a/host": "h", "backs/a/newer": "x", "backs/b/host": "h"}
    before = {"tls/cert": "c", "backs/a/host": "h", "backs/b/host": "h"}
    assert changes(before, {"backs/b/host": "h"}, stored) == dict.fromkeys(
        ["tls/cert", "tls/newer", "backs/a/host", "backs/a/newer"]
    )
