"""What a save writes: found by a look at few fields, and the same as by a look at all of them."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from etcdorm.errors import DecodeError
from etcdorm.mapping import changes, schema_of
from etcdorm.session.saving import changed_keys
from etcdorm.store.types import Record, Version
from tests.unit.mapping.generated import classes, edited, quiet


@given(st.data())
@quiet
def test_what_a_save_changes_is_what_a_look_at_all_fields_finds(data: st.DataObject) -> None:
    model, values = data.draw(classes())
    schema, saved, other = schema_of(model), data.draw(values), data.draw(values)
    stored = schema.encode(saved, document=False)
    for key in data.draw(st.sets(st.sampled_from([*stored, "none"]))) & stored.keys():
        stored[key] = f"0{stored[key]}"  # of a number, another spelling
    try:
        loaded = schema.decode(schema.path(saved), stored)
    except DecodeError:
        assume(False)
    touched = data.draw(st.sets(st.sampled_from(sorted(model.model_fields)))) - {"name"}
    goal = edited(loaded, other, touched, extras=data.draw(st.booleans()))
    found = changed_keys(schema, goal, Record(schema.path(saved), stored, Version(1), 1, 1))
    before, after = schema.encode(loaded, document=False), schema.encode(goal, document=False)
    assert {key: text for key, text in found.items() if stored.get(key) != text} == {
        key: text for key, text in changes(before, after, stored).items() if stored.get(key) != text
    }
