"""Where the records of a model class lie: its path template, with typed keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from pydantic import BaseModel

from etcdorm.errors import UsageError
from etcdorm.mapping.keys import KeyField
from etcdorm.mapping.template import MADE_WIDTH, Template
from etcdorm.path import Path
from etcdorm.store.types import Collection

M = TypeVar("M", bound=BaseModel)


class Paths(Generic[M]):
    """Models and keys to paths, and back."""

    def __init__(self, model: type[M], template: Template, keys: Mapping[str, KeyField]) -> None:
        self.model = model
        self.template = template
        self.keys = keys
        self.name: str = model.__name__

    def path(self, model: M) -> Path:
        """The path of a model's record.

        Raises: UsageError when a key field is None, or can't be read back from a path.
        """
        return self.template.format({name: self._text_in(model, name) for name in self.keys})

    def path_from(self, args: tuple[object, ...], fields: Mapping[str, object]) -> Path:
        """The path of the record with these keys, given in the order of the template or by name.

        Raises: UsageError for a key that is missing, unknown, given twice or not of its field's type.
        """
        names = self.template.fields
        if not fields and len(args) == len(names):  # mostly so
            keys = zip(self.keys.items(), args, strict=True)
            return self.template.format({name: key.given(value) for (name, key), value in keys})
        if len(args) > len(names):
            raise UsageError(f"{self.name} takes {len(names)} key(s) ({_listed(names)}), but {len(args)} were given")
        given = dict(zip(names, args, strict=False))
        if twice := given.keys() & fields.keys():
            raise UsageError(f"{self.name} was given {_listed(twice)} twice, by position and by name")
        given.update(fields)
        texts = self._texts(given)  # before what is missing: a misspelt name is both
        if missing := [name for name in names if name not in given]:
            raise UsageError(f"{self.name} needs {_listed(missing)} to make a path of {self.template.text!r}")
        return self.template.format(texts)

    def collection(self, fields: Mapping[str, object]) -> Collection:
        """The records of this class, narrowed by any of the key fields.

        Raises: UsageError for a field that is not a key, or a value that is not of its type.
        """
        return self.template.collection(self._texts(fields))

    def match(self, path: Path) -> dict[str, object] | None:
        """The typed keys of a path, or None when it is not one that this class makes."""
        texts = self.template.match(path)
        if texts is None:
            return None
        values = {name: self.keys[name].value(text) for name, text in texts.items()}
        return None if None in values.values() else values

    def append_directory(self, model: M) -> Path:
        """The directory in which a store is to make the model's last key.

        Raises: UsageError when the path does not end in a whole segment of free text.
        """
        last = self.made_key()
        others = {name: self._text_in(model, name) for name in self.keys if name != last}
        return self.template.format({**others, last: "0"}).parent

    def made_key(self) -> str:
        """The name of the key field that a store makes when a model is appended.

        Raises: UsageError when the path does not end in a segment that takes what a store makes.
        """
        last = self.template.sequential
        if last is not None and last.width in (0, MADE_WIDTH) and (last.width or self.keys[last.field].is_free_text):
            return last.field
        raise UsageError(
            f"{self.name} can't be appended: the store makes up the last segment, so its path {self.template.text!r} "
            f"would have to end in one field alone, a str, or an int as {{id:0{MADE_WIDTH}}}"
        )

    def made_name(self, value: object) -> str:
        """The last segment of a path, for a value of the key field that a store makes.

        Raises: UsageError.
        """
        last = self.made_key()
        texts = {**dict.fromkeys(self.keys, "0"), **self._texts({last: value})}
        return self.template.format(texts).segments[-1]

    def with_key(self, model: M, path: Path) -> None:
        """Set a model's key fields from a path, also on a frozen model.

        Raises: UsageError when the path is not one of this class.
        """
        values = self.match(path)
        if values is None:
            raise self.not_mine(path)
        model.__dict__.update(values)
        model.__pydantic_fields_set__.update(values)

    def misspelt(self, model: M, texts: Mapping[str, str]) -> list[str]:
        """The key fields that would not give these texts again: the model would be saved elsewhere."""
        return [name for name, text in texts.items() if not self.keys[name].is_spelt(getattr(model, name, None), text)]

    def not_mine(self, path: Path) -> UsageError:
        return UsageError(f"{path} is not a path of {self.name}, which lies at {self.template.text!r}")

    def _text_in(self, model: M, name: str) -> str:
        return self.keys[name].text(getattr(model, name, None))

    def _texts(self, fields: Mapping[str, object]) -> dict[str, str]:
        if not fields.keys() <= self.keys.keys():
            unknown = [name for name in fields if name not in self.keys]
            known = _listed(self.keys) or "none"
            raise UsageError(f"{_listed(unknown)} is not a key field of {self.name}; there are: {known}")
        return {name: self.keys[name].given(value) for name, value in fields.items()}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
