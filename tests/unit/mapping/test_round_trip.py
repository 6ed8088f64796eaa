"""Whatever can be saved comes back equal: on generated classes, in both layouts, and through the difference of two."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from etcdorm.errors import DecodeError
from etcdorm.mapping import EtcdModel, Schema, changes, schema_of
from etcdorm.mapping.values import same
from etcdorm.path import Path, encode_segment
from tests.unit.mapping.generated import classes, edited, key_of, quiet, texts

FOREIGN = {"unknown": "1", "un/known": "2"}
BELOW = {"un/known": "2", "_un": "3"}
"""What is no extra field either."""


@given(st.data())
@quiet
def test_a_model_comes_back_equal_from_a_directory(data: st.DataObject) -> None:
    model, values = data.draw(classes())
    schema, value = schema_of(model), data.draw(values)
    fields = schema.encode(value, document=False)
    assert schema.decode(schema.path(value), fields) == value
    foreign = FOREIGN if value.model_extra is None else BELOW
    assert schema.decode(schema.path(value), {**fields, **foreign}) == value
    assert not any(map(schema.owns, foreign))
    assert all(schema.owns(key) for key in fields)


@given(st.data())
@quiet
def test_a_model_comes_back_equal_from_a_document(data: st.DataObject) -> None:
    model, values = data.draw(classes("document"))
    schema, value = schema_of(model), data.draw(values)
    fields = schema.encode(value, document=True)
    assert fields.keys() == {""}
    assert schema.decode(schema.path(value), fields) == value


@given(st.data())
@quiet
def test_a_record_of_either_layout_can_be_kept_in_the_other(data: st.DataObject) -> None:
    model, values = data.draw(classes("document"))
    schema, value = schema_of(model), data.draw(values)
    assert schema.decode(schema.path(value), schema.encode(value, document=False)) == value


@given(st.data())
@settings(quiet, max_examples=90)
def test_the_changes_of_a_save_lead_to_the_model_that_was_saved(data: st.DataObject) -> None:
    model, values = data.draw(classes())
    schema, saved, other = schema_of(model), data.draw(values), data.draw(values)
    path = schema.path(saved)
    foreign = FOREIGN if saved.model_extra is None else BELOW
    stored = {**tampered(data, schema.encode(saved, document=False)), **foreign}
    try:
        loaded = schema.decode(path, stored)
    except DecodeError:
        assume(False)
    touched = data.draw(st.sets(st.sampled_from(sorted(model.model_fields)))) - {"name"}
    extras = data.draw(st.booleans())
    goal = edited(loaded, other, touched, extras=extras)

    before, after = schema.encode(loaded, document=False), schema.encode(goal, document=False)
    made = changes(before, after, stored)
    for key, text in made.items():
        if text is None:
            del stored[key]
        else:
            stored[key] = text

    assert schema.decode(path, stored) == goal
    assert stored.items() >= foreign.items()
    allowed = {key_of(model.model_fields[name]) or name for name in touched}
    if extras:
        allowed |= {encode_segment(name) for each in (loaded, other) for name in each.model_extra or ()}
    assert {key.removeprefix("@null/").partition("/")[0] for key in made} <= allowed


def tampered(data: st.DataObject, fields: dict[str, str]) -> dict[str, str]:
    """The record after other tools were at it: some keys are gone, and some stand beside a marker that they outdate."""
    stored: dict[str, str] = {}
    for key, text in fields.items():
        fate = data.draw(st.sampled_from(["stays", "stays", "goes", "null", "empty"]))
        if fate == "goes":
            continue
        stored[key] = text
        directory, slash, name = key.rpartition("/")
        if "@" not in key and fate == "null":
            stored[f"{directory}{slash}@null/{name}"] = ""
        if "@" not in key and fate == "empty" and directory:
            stored[f"{directory}/@empty"] = ""
    return stored


@given(st.data())
@quiet
def test_records_with_and_without_sub_directories_are_read_alike(data: st.DataObject) -> None:
    model, values = data.draw(classes())
    schema, value = schema_of(model), data.draw(values)
    flat = {key: text for key, text in schema.encode(value, document=False).items() if "/" not in key}
    fields = flat | data.draw(st.dictionaries(st.sampled_from([*model.model_fields, "@null", "@empty", "x"]), texts))
    path = schema.path(value)
    assert same(outcome(schema, path, fields), outcome(schema, path, {**fields, **BELOW}))


def outcome(schema: Schema[EtcdModel], path: Path, fields: dict[str, str]) -> object:
    """The model, or what does not fit."""
    try:
        return schema.decode(path, fields)
    except DecodeError as error:
        return error.failures
