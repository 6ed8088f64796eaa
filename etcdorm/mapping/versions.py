"""The versions of a model class: how upgrades are declared, which version a record is of, and what makes it current."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, TypeVar

import pydantic_core
from pydantic import JsonValue

from etcdorm.errors import DecodeError, FieldFailure, ModelError, NewerVersionError
from etcdorm.mapping.codecs import from_json
from etcdorm.mapping.raw import Values, rewritten, values_of
from etcdorm.mapping.tree import SCHEMA
from etcdorm.path import Path

_FROM: Final = "__etcd_upgrade__"
"""The attribute of a function with the version that it upgrades from."""

_NUMBER: Final = re.compile("[1-9][0-9]{0,17}")

# Above @staticmethod, mypy sees the function still, and pyright the staticmethod
_Function = TypeVar("_Function", bound="Callable[[Values], None] | staticmethod[[Values], None]")


def upgrade(version: int) -> Callable[[_Function], _Function]:
    """Make a static method of a class bring records of ``version`` to the next one.

    It is given what the record holds, by name, and changes that in place; key fields of the path are not in it. In a
    directory each leaf is the text that lies in etcd, a sub-directory is a dict, and what is None or empty is None or
    ``{}``; a document is its JSON. Whatever is left there is written as a model's values are.
    It is called whenever such a record is read, so it does no more than that, and the same each time.
    """
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ModelError(f"upgrade({version!r}): the version that it starts from must be a whole number, from 1 on")

    def mark(method: _Function) -> _Function:
        function: object = method.__func__ if isinstance(method, staticmethod) else method
        if not inspect.isfunction(function):
            raise ModelError(f"upgrade({version}) goes on a static method, not on a {type(method).__name__}")
        if hasattr(function, _FROM):
            raise ModelError(f"{function.__name__} is an upgrade already; give each step a method of its own")
        setattr(function, _FROM, version)
        return method

    return mark


@dataclass(frozen=True, slots=True)
class _Step:
    """From ``start`` to the version after it."""

    start: int
    name: str
    function: Callable[[Values], object]

    @property
    def label(self) -> str:
        return f"the upgrade from version {self.start} to {self.start + 1}, {self.name}"


class _StepFailed(Exception):
    """Carries why, without any values."""


class Versions:
    """The version of one model class, and the steps up to it.

    Raises: ModelError for steps that are missing, too many, or can't be called.
    """

    def __init__(self, model: type, number: int) -> None:
        self.number: Final = number
        self._model = model.__name__
        self._steps = _steps_of(model, number)
        self._text = str(number)
        # The start of a document that a session wrote.
        self._heads = (f'{{"{SCHEMA}":{number},', f'{{"{SCHEMA}":{number}}}')

    def found(self, path: Path, fields: Mapping[str, str]) -> int:
        """The version that a record is of.

        Raises: DecodeError when it does not say so in a way that can be read; NewerVersionError.
        """
        document = fields.get("")
        text = fields.get(SCHEMA) if document is None else self._member(document)
        if text is None:
            return 1
        if text == self._text:
            return self.number
        key = str(path if document is not None else path / SCHEMA)
        if not _NUMBER.fullmatch(text):
            problem = "this should be a version of the class, a whole number from 1 on"
            raise DecodeError(str(path), self._model, [FieldFailure(key, SCHEMA, problem, text)])
        found = int(text)
        if found > self.number:
            failure = FieldFailure(key, SCHEMA, f"newer than version {self.number}, which this code knows", text)
            raise NewerVersionError(str(path), self._model, failure, found=found, known=self.number)
        return found

    def upgraded(self, path: Path, fields: Mapping[str, str]) -> Mapping[str, str]:
        """The fields of a record in the form of this version; the same object when they are so already.

        Raises: DecodeError when an upgrade fails, and as ``found``.
        """
        if self.number == 1 and SCHEMA not in fields and "" not in fields:  # as of most classes
            return fields
        found = self.found(path, fields)
        if found == self.number:
            return fields
        try:
            for step in self._steps[found - 1 :]:
                fields = _taken(step, fields)
            return fields
        except _StepFailed as error:
            why = str(error)
        # Not from within the handler: the error of a function may quote a value, and would be shown as the context.
        raise DecodeError(str(path), self._model, [FieldFailure(str(path), "*", why)])

    def takes_up(self, fields: Mapping[str, str]) -> bool:
        """Whether an upgrade changes or takes away any of these keys, be it before it fails: then they are the model's.

        They lie in a directory, and none of them is ``SCHEMA``.
        """
        if not self._steps:
            return False
        before, values = values_of(fields), values_of(fields)
        with suppress(Exception):
            for step in self._steps:
                step.function(values)
        return any(name not in values or values[name] != value for name, value in before.items())

    def stamp(self, document: JsonValue) -> JsonValue:
        """A document with the version of the class in it."""
        return _stamped(document, self.number) if isinstance(document, dict) else document

    def _member(self, document: str) -> str | None:
        """The version in a document, as JSON; None when there is none."""
        if document.startswith(self._heads):
            return self._text
        if f'"{SCHEMA}"' not in document:
            return None
        value = from_json(document, "", [])
        return pydantic_core.to_json(value[SCHEMA]).decode() if isinstance(value, dict) and SCHEMA in value else None


def _stamped(values: Values, number: int) -> Values:
    stamp: Values = {SCHEMA: number} if number > 1 else {}
    return stamp | {name: value for name, value in values.items() if name != SCHEMA}


def _taken(step: _Step, fields: Mapping[str, str]) -> Mapping[str, str]:
    """The fields after one step, as a session would have stored them.

    Raises: _StepFailed.
    """
    is_document = "" in fields
    values = from_json(fields[""], "", []) if is_document else values_of(fields)
    if not isinstance(values, dict):
        return fields  # no document; what is wrong with it is for the reader to say
    values.pop(SCHEMA, None)
    _call(step, values)
    try:
        left: Values = pydantic_core.to_jsonable_python(values, bytes_mode="base64", inf_nan_mode="constants")
        if is_document:
            return {"": pydantic_core.to_json(_stamped(left, step.start + 1)).decode()}
        return {**rewritten(fields, left), SCHEMA: str(step.start + 1)}
    except ValueError:
        raise _StepFailed(f"{step.label}, left a value that can't be stored") from None


def _call(step: _Step, values: Values) -> None:
    try:
        returned = step.function(values)
    except Exception as error:
        inside = error.__traceback__.tb_next if error.__traceback__ is not None else None
        place = f" in line {inside.tb_lineno} of {PurePath(inside.tb_frame.f_code.co_filename).name}" if inside else ""
        raise _StepFailed(f"{step.label}, failed with {type(error).__name__}{place}") from None
    if returned is not None:
        raise _StepFailed(
            f"{step.label}, returned a {type(returned).__name__}; it must change the values in place, and return None"
        )


def _steps_of(model: type, number: int) -> list[_Step]:
    """The steps of a class and its bases, in order. A method that overrides an upgrade is one as well.

    Raises: ModelError.
    """
    starts: dict[str, int] = {}
    for base in reversed(model.__mro__):
        for name, value in vars(base).items():
            start: object = getattr(value.__func__ if isinstance(value, staticmethod) else value, _FROM, None)
            if isinstance(start, int):
                starts[name] = start
    found: dict[int, _Step] = {}
    for name, start in starts.items():
        step = _Step(start, f"{model.__name__}.{name}", _function(model, name))
        if start in found:
            raise ModelError(
                f"{step.name} and {found[start].name} both upgrade from version {start}; one of them must go"
            )
        found[start] = step
    if beyond := [step for step in found.values() if step.start >= number]:
        raise ModelError(
            f"{beyond[0].name} upgrades from version {beyond[0].start}, but {model.__name__} is of version {number}; "
            f"declare it with version={beyond[0].start + 1}, or take the method away"
        )
    if missing := [start for start in range(1, number) if start not in found]:
        raise ModelError(
            f"{model.__name__} is of version {number}, but nothing upgrades its records from version "
            f"{_listed(missing)}; declare a static method with @upgrade({missing[0]})"
        )
    return [found[start] for start in range(1, number)]


def _function(model: type, name: str) -> Callable[[Values], object]:
    static = inspect.getattr_static(model, name)
    needed = f"{model.__name__}.{name}: an upgrade is a static method that takes the values, and is not async"
    if not isinstance(static, staticmethod) or inspect.iscoroutinefunction(static.__func__):
        raise ModelError(needed)
    function: Callable[[Values], object] = static.__func__
    try:
        inspect.signature(function).bind({})
    except TypeError as error:
        raise ModelError(f"{needed}: {error}") from None
    return function


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(str(number) for number in numbers)
