"""Hooks: how they are declared, and what can't be one."""

from __future__ import annotations

import pytest

from etcdorm import EtcdModel, ModelError, after_load, after_save, before_load, before_save
from etcdorm.mapping import schema_of


class Base(EtcdModel, path="/hooked/{name}"):
    name: str

    @before_save
    def first(self) -> None: ...

    @before_save
    @after_save
    async def second(self) -> None: ...

    @before_load
    @classmethod
    def allowed(cls, path: str) -> None: ...


class Mixin:
    @after_load
    def mixed(self) -> None: ...


class Derived(Mixin, Base):
    @before_save
    def third(self) -> None: ...

    def first(self) -> None: ...


def test_those_of_the_bases_come_first_and_an_override_is_one_too() -> None:
    hooks = schema_of(Derived).hooks
    assert hooks.before_save == ("first", "second", "third")
    assert hooks.after_save == ("second",)
    assert hooks.before_load == ("allowed",)
    assert hooks.after_load == ("mixed",)
    assert hooks.before_delete == hooks.after_delete == ()


def test_the_other_order_of_decorators_will_do() -> None:
    class Node(EtcdModel, path="/x/{name}"):
        name: str

        @classmethod
        @before_load
        def allowed(cls, path: str) -> None: ...

    assert schema_of(Node).hooks.before_load == ("allowed",)


def test_a_method_with_parameters_is_refused() -> None:
    with pytest.raises(ModelError, match=r"Node\.stamp: a before_save hook is a method that takes nothing but self"):

        class Node(EtcdModel, path="/x/{name}"):
            name: str

            @before_save  # type: ignore[type-var]
            def stamp(self, session: object) -> None: ...


def test_a_class_method_after_a_save_is_refused() -> None:
    with pytest.raises(ModelError, match=r"Node\.told: an after_save hook is a method that takes nothing but self"):

        class Node(EtcdModel, path="/x/{name}"):
            name: str

            @after_save
            @classmethod
            def told(cls) -> None: ...


def test_a_method_before_a_load_is_refused() -> None:
    with pytest.raises(ModelError, match=r"Node\.check: a before_load hook is a class method that takes a path"):

        class Node(EtcdModel, path="/x/{name}"):
            name: str

            @before_load
            def check(self, path: str) -> None: ...


def test_an_override_that_can_not_be_called_so_is_refused() -> None:
    with pytest.raises(ModelError, match=r"Wrong\.first: a before_save hook is a method that takes nothing but self"):

        class Wrong(Base):
            def first(self, more: int) -> None: ...  # type: ignore[override]


def test_what_is_no_method_is_refused() -> None:
    with pytest.raises(ModelError, match="before_save goes on a method, not on a str"):
        before_save("stamp")  # type: ignore[type-var]
