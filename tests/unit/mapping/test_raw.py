"""What an upgrade sees of a record, and what becomes of the record when it is through."""

from __future__ import annotations

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from etcdorm.mapping.raw import Values, fields_of, rewritten, values_of
from tests.unit.mapping.generated import quiet

DIRECTORY = {
    "host": "h",
    "port": "8080",
    "ports": "[1,2]",
    "labels/os%2Farch": "x86",
    "limits/cpu/max": "2",
    "@null/note": "",
    "labels/@null/gone": "",
    "tags/@empty": "",
    "_hidden": "1",
    "100%": "1",
    "labels/_hidden": "1",
    "@schema": "2",
    "@other/x": "1",
}
VALUES: Values = {
    "host": "h",
    "port": "8080",
    "ports": "[1,2]",
    "labels": {"os/arch": "x86", "gone": None},
    "limits": {"cpu": {"max": "2"}},
    "note": None,
    "tags": {},
}


def test_leaves_are_texts_directories_dicts_and_markers_what_they_stand_for() -> None:
    assert values_of(DIRECTORY) == VALUES


def test_what_is_not_touched_stays_key_by_key() -> None:
    assert rewritten(DIRECTORY, deepcopy(VALUES)) == DIRECTORY


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        ("1", {"x": "1"}),
        (8080, {"x": "8080"}),
        (1.5, {"x": "1.5"}),
        (True, {"x": "true"}),
        (None, {"@null/x": ""}),
        ({}, {"x/@empty": ""}),
        ([1, {"a": None}], {"x": '[1,{"a":null}]'}),
        ({"a": {"b/c": "1", "d": None}}, {"x/a/b%2Fc": "1", "x/a/@null/d": ""}),
    ],
)
def test_values_are_written_as_a_model_would_write_them(value: JsonValue, fields: dict[str, str]) -> None:
    assert fields_of({"x": value}) == fields


@pytest.mark.parametrize(
    ("fields", "values"),
    [
        ({"x": "1", "@null/x": ""}, {"x": "1"}),
        ({"x/a": "1", "x/@empty": "", "@null/x": ""}, {"x": {"a": "1"}}),
        ({"x/@empty": "", "@null/x": ""}, {"x": {}}),
        ({"x/_a": "1", "@null/x": ""}, {"x": None}),
        ({"x/_a": "1"}, {}),
    ],
)
def test_a_key_counts_for_more_than_a_marker(fields: dict[str, str], values: Values) -> None:
    assert values_of(fields) == values


@pytest.mark.parametrize(
    ("fields", "values", "expected"),
    [
        ({"x": "1", "@null/x": "", "y": "1", "@null/y": ""}, {"y": "1"}, {"y": "1", "@null/y": ""}),
        ({"x/a": "1", "x/@empty": "", "x/@null/a": ""}, {}, {}),
        ({"x/a": "1", "x/@empty": ""}, {"x": {}}, {"x/@empty": ""}),
        ({"x/a": "1", "x/@empty": "", "@null/x": ""}, {"x": "text"}, {"x": "text"}),
        ({"@null/x": "by hand"}, {"x": {"a": None}}, {"x/@null/a": ""}),
        ({"x": "1", "x_": "1", "@null/x_": ""}, {"x_": "1"}, {"x_": "1", "@null/x_": ""}),
    ],
)
def test_a_marker_that_a_key_has_hidden_does_not_come_to_light(
    fields: dict[str, str], values: Values, expected: dict[str, str]
) -> None:
    assert rewritten(fields, values) == expected


names = st.sampled_from(["a", "b", "c", "_d", "@e", "f/g", ""])
texts = st.sampled_from(["", "1", "text"])
trees = st.recursive(st.none() | texts, lambda inside: st.dictionaries(names, inside, max_size=3), max_leaves=8)
records = st.dictionaries(names, trees, max_size=4)


@given(records, records)
@quiet
def test_a_record_says_what_was_left_in_its_values(before: Values, after: Values) -> None:
    fields = fields_of(before)
    assert values_of(fields) == before
    assert values_of(rewritten(fields, after)) == after
    assert rewritten(fields, after) == fields_of(after)


marks = st.sampled_from(["@null/a", "a/@empty", "a/@null/b", "@null/b", "b/@empty", "a/b/@empty", "_x", "a/100%"])


@given(records, st.sets(marks), records)
@quiet
def test_whatever_else_lies_there(before: Values, more: set[str], after: Values) -> None:
    fields = {**dict.fromkeys(more, ""), **fields_of(before)}
    fields = {key: text for key, text in fields.items() if not any(other.startswith(f"{key}/") for other in fields)}
    kept = {key: "" for key in more & {"_x", "a/100%"} if key in fields}
    assert values_of(rewritten(fields, after)) == after
    assert rewritten(fields, after).items() >= kept.items()
    assert rewritten(fields, values_of(fields)) == fields
