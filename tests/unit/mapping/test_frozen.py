"""Frozen objects: nothing in them can be changed, and they are still what they were."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, MutableSet, Sequence, Set
from functools import cached_property

import pytest
from pydantic import BaseModel, PrivateAttr

from etcdorm import EtcdModel, UsageError
from etcdorm.mapping.frozen import FrozenDict, FrozenList, FrozenSet, freeze, is_frozen
from etcdorm.mapping.merge import edited
from etcdorm.mapping.schema import schema_of
from etcdorm.path import Path


class Limits(BaseModel):
    cpu: int = 1
    tags: list[str] = []


class Config(EtcdModel, path="/configs/{name}", layout="document", extra="allow"):
    name: str
    limits: Limits = Limits()
    labels: dict[str, list[int]] = {}
    groups: set[str] = set()
    pairs: tuple[Limits, ...] = ()
    _cache: int = PrivateAttr(default=0)

    @cached_property
    def upper(self) -> str:
        return self.name.upper()

    def count(self) -> None:
        self._cache += 1

    def rename(self) -> None:
        self.name = "other"


def make() -> Config:
    values = {"name": "web", "labels": {"a": [1]}, "groups": ["x"], "pairs": [{}], "more": {"deep": [1]}}
    return Config.model_validate(values)


def assign_extra(config: Config) -> None:
    config.unknown = 1  # type: ignore[attr-defined]


CHANGES: dict[str, Callable[[Config], object]] = {
    "a field": lambda config: setattr(config, "name", "other"),
    "a method that sets one": Config.rename,
    "an extra field": assign_extra,
    "a nested model": lambda config: setattr(config.limits, "cpu", 2),
    "a model in a tuple": lambda config: setattr(config.pairs[0], "cpu", 2),
    "a list in a nested model": lambda config: config.limits.tags.append("x"),
    "a dict": lambda config: config.labels.update(b=[2]),
    "an item of a dict": lambda config: config.labels.__setitem__("a", []),
    "a list in a dict": lambda config: config.labels["a"].append(2),
    "a slice of a list": lambda config: config.labels["a"].__setitem__(slice(0), [2]),
    "a list in place": lambda config: config.labels["a"].__iadd__([2]),
    "a set": lambda config: config.groups.add("y"),
    "a set in place": lambda config: config.groups.__ior__({"y"}),
    "a dict in an extra field": lambda config: config.model_extra and config.model_extra["more"].clear(),
    "the extra fields": lambda config: config.model_extra and config.model_extra.update(a=1),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_nothing_in_it_can_be_changed(change: Callable[[Config], object]) -> None:
    config = freeze(make())
    with pytest.raises(UsageError, match="can't be changed"):
        change(config)
    assert config == make()


MUTATORS: dict[type, set[str]] = {
    FrozenDict: {*dir(MutableMapping), "__ior__"} - {*dir(Mapping), "_MutableMapping__marker"},
    FrozenList: {*dir(MutableSequence), "__imul__", "sort"} - {*dir(Sequence)},
    FrozenSet: {*dir(MutableSet), *(name for name in dir(set) if name.endswith("update"))} - {*dir(Set)},
}


@pytest.mark.parametrize("kind", MUTATORS, ids=lambda kind: kind.__name__)
def test_every_method_that_changes_a_container_is_refused(kind: type) -> None:
    assert len(MUTATORS[kind]) >= 8
    for name in MUTATORS[kind]:
        with pytest.raises(UsageError, match="can't be changed"):
            getattr(kind(), name)()


def test_it_equals_what_it_was_and_dumps_as_that() -> None:
    frozen, config = freeze(make()), make()
    assert frozen == config
    assert config == frozen
    assert repr(frozen) == repr(config)
    assert frozen.model_dump() == config.model_dump()
    assert frozen.model_dump_json() == config.model_dump_json()
    assert edited(config, frozen) == ()
    schema = schema_of(Config)
    assert schema.decode(Path.parse("/configs/web"), schema.encode(frozen, document=True)) == config


@pytest.mark.parametrize(
    "copied",
    [
        pytest.param(lambda config: config.model_copy(deep=True), id="model_copy"),
        pytest.param(copy.deepcopy, id="deepcopy"),
        pytest.param(lambda config: pickle.loads(pickle.dumps(config)), id="pickle"),
    ],
)
def test_a_deep_copy_can_be_changed_all_through(copied: Callable[[Config], Config]) -> None:
    frozen = freeze(make())
    config = copied(frozen)
    assert config == frozen
    config.name = "other"
    config.limits.cpu = 2
    config.pairs[0].cpu = 2
    config.limits.tags.append("x")
    config.labels["a"].append(2)
    config.groups.add("y")
    assert config.model_extra is not None
    config.model_extra["more"]["deep"].append(2)
    assert {type(config.labels), type(config.labels["a"]), type(config.groups)} == {dict, list, set}
    assert frozen == make()


def test_a_shallow_copy_can_be_changed_and_what_it_shares_can_not() -> None:
    frozen = freeze(make())
    config = frozen.model_copy(update={"name": "other"})
    config.labels = {}
    with pytest.raises(UsageError, match=r"Limits\.cpu: this Limits is a value of session"):
        config.limits.cpu = 2
    assert frozen == make()
    assert not is_frozen(config)


def test_private_attributes_and_cached_properties_are_its_own_matter() -> None:
    frozen = freeze(make())
    frozen.count()
    assert (frozen._cache, frozen.upper) == (1, "WEB")


def test_other_objects_of_the_class_can_be_changed() -> None:
    freeze(make())
    config = make()
    config.name = "other"
    config.limits.cpu = 2
    assert Config(name="x").limits == Limits()
