"""What a save has to change in a record so that it says what a model says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from etcdorm.errors import DecodeError, EncodeError, NewerVersionError
from etcdorm.mapping.diff import changes, onto
from etcdorm.mapping.differ import Seen
from etcdorm.mapping.model import EtcdModel
from etcdorm.mapping.records import upgraded
from etcdorm.mapping.schema import Schema
from etcdorm.mapping.tree import NULL
from etcdorm.store.types import Record

M = TypeVar("M", bound=EtcdModel)


def changed_keys(schema: Schema[M], model: M, base: Record, known: Seen | None = None) -> dict[str, str | None]:
    """The keys to set, and to delete (None), so that a record which is as ``base`` says what the model says.

    ``known`` are the values that ``base`` is known to give.
    Raises: NewerVersionError; EncodeError.
    """
    current = _current(schema, base)
    if current is not base.fields:
        return onto(base.fields, current, _changed(schema, model, base, current))
    if known is not None and not base.is_document:
        changed = _edited_texts(schema, model, current, known)
        if changed is not None:
            return changed
    return _changed(schema, model, base, current)


def _edited_texts(schema: Schema[M], model: M, current: Mapping[str, str], known: Seen) -> dict[str, str | None] | None:
    """What ``_changed`` finds, if no more was done than to make scalars others, as mostly; None if there was.

    So it need not be asked what was loaded, and how that would have been written.
    """
    edits = schema.differ.edits(model, known)
    if edits is None:
        return None
    if not (edits.scalars or edits.unsure):
        return {}
    after = schema.write(model, document=False, only=edits.scalars | edits.unsure)
    changed: dict[str, str | None] = {key: text for key, text in after.items() if text != current.get(key)}
    scalars = schema.keys_of(edits.scalars)
    if not changed.keys() <= scalars <= after.keys():  # a value may be one that is left out
        return None
    if any(key not in current or f"{NULL}/{key}" in current for key in changed):
        return None
    # An entry that is gone from a map shows when it is read back.
    if edits.unsure or not schema.certain.comes_back(model, edits.scalars):
        if schema.lost(model, {**current, **after}):
            return None
    return changed


def _changed(schema: Schema[M], model: M, base: Record, current: Mapping[str, str]) -> dict[str, str | None]:
    """As ``changed_keys``, from the fields of ``base`` in the form of the class's version."""
    document, only = base.is_document, None
    loaded: M | None
    try:
        loaded = schema.decode(base.path, current)
        only = None if document else schema.differ.unlike(model, loaded)
        if only is not None and not only:
            return {}
        before: Mapping[str, str] = schema.write(loaded, document=document, onto=current, only=only, was=loaded)
    except (DecodeError, EncodeError):
        # It is to be overwritten, or has a validator that depends on more than the value; then what is stored must do.
        loaded, only, before = None, None, {key: text for key, text in current.items() if schema.owns(key)}
    after = schema.write(model, document=document, onto=current, only=only, was=loaded)
    changed = changes(before, after, current)
    if only is None:
        schema.check(model, after)
        return changed
    stored = {key: text for key, text in {**current, **changed}.items() if text is not None}
    if lost := schema.lost(model, stored):  # defaults that hang on what has changed have to be written too
        more = schema.write(model, document=False, only=set(lost))
        schema.check(model, stored | more)
        changed |= {key: text for key, text in more.items() if stored.get(key) != text}
    return changed


def _current(schema: Schema[M], base: Record) -> Mapping[str, str]:
    """The fields of a record in the form of the class's version; as they are, where an upgrade fails.

    Raises: NewerVersionError.
    """
    try:
        return upgraded(schema, base)
    except NewerVersionError:
        raise
    except DecodeError:
        return base.fields
