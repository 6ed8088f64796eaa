"""Two edits of one model, made of the same base, put together field by field."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Generic, TypeVar
from weakref import WeakKeyDictionary

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from etcdorm.mapping.annotations import bare
from etcdorm.mapping.markers import AsJson, Merge, merge_rule
from etcdorm.mapping.values import same

M = TypeVar("M", bound=BaseModel)


class RuleFailed(Exception):
    """The ``Merge`` rule of the field ``at`` raised what is the cause of this; nobody outside the session meets it."""

    def __init__(self, at: str) -> None:
        super().__init__(at)
        self.at = at


class _Gone(Enum):
    GONE = "gone"


_GONE: Final = _Gone.GONE
"""Stands for an entry of a map that is not there."""


@dataclass(frozen=True, slots=True)
class Merged(Generic[M]):
    """``model`` holds what could be put together; ``clashes`` names the fields that both changed, and not alike."""

    model: M
    clashes: tuple[str, ...]


def merge(base: M, mine: M, theirs: M, *, rules: bool = True) -> Merged[M]:
    """Take each edit of ``mine`` and of ``theirs``; where both edited one value, what its ``Merge`` marker says.

    Without ``rules`` the markers count for nothing, and all that both edited is named.

    Models within and the entries of maps are merged one by one, unless ``AsJson`` keeps them as a whole. The model is
    a copy of ``mine`` and not validated.
    """
    merging = _Merging(rules=rules)
    return Merged(merging.models(base, mine, theirs, ""), tuple(merging.clashes))


def as_it_is(model: M) -> M:
    """A copy whose stored values stay as they are when those of the model are edited in place."""
    stored = {name: getattr(model, name, None) for name, field in type(model).model_fields.items() if not field.exclude}
    return model.model_copy(update=copy.deepcopy({**stored, **(model.model_extra or {})}))


def edited(before: M, after: M) -> tuple[str, ...]:
    """The names of what differs in two models of one class, as ``merge`` names it: ``port``, ``labels.env``."""
    return tuple(_differences(before, after, ""))


def differ(before: M | None, after: M | None, fields: tuple[str, ...] | None) -> bool:
    """Whether two values differ in one of some fields (``port``; ``labels`` for all in it), or with None, in any."""
    if before is None or after is None:
        return before is not after
    changed = edited(before, after) if before is not after else ()
    if fields is None:
        return bool(changed)
    return any(
        f"{name}.".startswith(f"{field}.") or f"{field}.".startswith(f"{name}.") for name in changed for field in fields
    )


class _Merging:
    def __init__(self, *, rules: bool) -> None:
        self._has_rules = rules
        self.clashes: list[str] = []

    def models(self, base: M, mine: M, theirs: M, at: str) -> M:
        values: dict[str, object] = {}
        for name, field in type(mine).model_fields.items():
            if field.exclude:
                continue
            one, other, third = (getattr(model, name, None) for model in (base, mine, theirs))
            value = self.values(one, other, third, f"{at}{name}", *_rules(field))
            if value is not other:
                values[name] = value
        extras = self._maps(base.model_extra or {}, mine.model_extra or {}, theirs.model_extra or {}, at)
        result = mine.model_copy(update={**values, **extras})
        if result.__pydantic_extra__ is not None:
            for name in result.__pydantic_extra__.keys() - extras.keys():
                del result.__pydantic_extra__[name]
        for name in [name for name in result.__dict__ if name not in type(mine).model_fields and name[:2] != "__"]:
            del result.__dict__[name]  # a cached property, of other values maybe
        return result

    def values(
        self, base: object, mine: object, theirs: object, at: str, rule: Merge | None = None, whole: bool = False
    ) -> object:
        if same(base, theirs):
            return mine
        if same(base, mine):
            return theirs
        if rule is not None and self._has_rules and _GONE not in (mine, theirs):
            try:
                return rule.resolve(base, mine, theirs)  # of equal edits too: two that both counted one up
            except Exception as error:  # values that can't be compared, or whatever a function of the user's raises
                raise RuleFailed(at) from error
        if same(mine, theirs):
            return mine
        if not whole:
            if isinstance(base, BaseModel) and isinstance(mine, BaseModel) and isinstance(theirs, BaseModel):
                if type(base) is type(mine) is type(theirs):
                    return self.models(base, mine, theirs, f"{at}.")
            if isinstance(base, dict) and isinstance(mine, dict) and isinstance(theirs, dict):
                merged = copy.copy(mine)  # of its own class, as a defaultdict
                merged.clear()
                merged.update(self._maps(base, mine, theirs, f"{at}."))
                return merged
        self.clashes.append(at)
        return mine

    def _maps(
        self, base: Mapping[str, object], mine: Mapping[str, object], theirs: Mapping[str, object], at: str
    ) -> dict[str, object]:
        names = dict.fromkeys((*mine, *theirs, *base))  # in the order of mine, and then what they have added
        entries = {
            name: self.values(base.get(name, _GONE), mine.get(name, _GONE), theirs.get(name, _GONE), f"{at}{name}")
            for name in names
        }
        return {name: entry for name, entry in entries.items() if entry is not _GONE}


def _differences(before: BaseModel, after: BaseModel, at: str) -> list[str]:
    found: list[str] = []
    for name, field in type(after).model_fields.items():
        if not field.exclude:
            one, other = getattr(before, name, None), getattr(after, name, None)
            if not same(one, other):  # first, as most are, and looking up the rules takes longer
                found += _difference(one, other, f"{at}{name}", whole=name in _edited_whole(type(after)))
    return found + _entries(before.model_extra or {}, after.model_extra or {}, at)


def _difference(before: object, after: object, at: str, *, whole: bool = False) -> list[str]:
    if same(before, after):
        return []
    if not whole:
        if isinstance(before, BaseModel) and isinstance(after, BaseModel) and type(before) is type(after):
            return _differences(before, after, f"{at}.") or [at]
        if isinstance(before, dict) and isinstance(after, dict):
            return _entries(before, after, f"{at}.")
    return [at]


def _entries(before: Mapping[str, object], after: Mapping[str, object], at: str) -> list[str]:
    return [
        difference
        for name in dict.fromkeys((*before, *after))
        for difference in _difference(before.get(name, _GONE), after.get(name, _GONE), f"{at}{name}")
    ]


_whole: WeakKeyDictionary[type[BaseModel], frozenset[str]] = WeakKeyDictionary()


def _edited_whole(model: type[BaseModel]) -> frozenset[str]:
    """The fields that are only ever edited as a whole."""
    found = _whole.get(model)
    if found is None:
        found = frozenset(name for name, field in model.model_fields.items() if _rules(field)[1])
        _whole[model] = found
    return found


def _rules(field: FieldInfo) -> tuple[Merge | None, bool]:
    """What a field's markers say: how two edits of it become one, and whether it is only ever edited as a whole."""
    metadata = bare(field.annotation, field.metadata).metadata
    return merge_rule(metadata), any(isinstance(item, AsJson) for item in metadata)
