"""The names under which settings are given, and a field's place in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo

from etcdorm.errors import UsageError
from etcdorm.mapping.annotations import bare


def input_names(name: str, field: FieldInfo) -> tuple[str, ...]:
    """What a value of this field may be called in the data that a source gives; the first is how sources call it."""
    alias = field.validation_alias if field.validation_alias is not None else field.alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return (*(choice for choice in choices if isinstance(choice, str)), name)


def nested_model(field: FieldInfo) -> type[BaseModel] | None:
    """The model that a field's value is one of, if there is just one such."""
    inner = bare(field.annotation, field.metadata).type
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None


@dataclass(frozen=True, slots=True)
class FieldPath:
    """A field of settings, or one of a model within: ``db.host``. The rest of the path names entries of a map."""

    names: tuple[str, ...]
    fields: tuple[FieldInfo, ...]

    @classmethod
    def parse(cls, settings: type[BaseModel], text: str) -> FieldPath:
        """Raises: UsageError for what is no field of the settings."""
        model: type[BaseModel] | None = settings
        names = tuple(text.split("."))
        fields: list[FieldInfo] = []
        for name in names:
            if model is None:
                break
            field = model.model_fields.get(name)
            if field is None:
                known = ", ".join(model.model_fields)
                raise UsageError(f"{settings.__name__} has no field {text!r}: {model.__name__} has {known}")
            fields.append(field)
            model = nested_model(field)
        return cls(names, tuple(fields))

    @classmethod
    def of(cls, settings: type[BaseModel], location: Sequence[int | str]) -> FieldPath:
        """The field that Pydantic names in an error, maybe by its alias; up to what is in no model."""
        model: type[BaseModel] | None = settings
        names: list[str] = []
        fields: list[FieldInfo] = []
        for part in location:
            if model is None:
                break
            found = [(name, field) for name, field in model.model_fields.items() if part in input_names(name, field)]
            if not found:
                break
            name, field = found[0]
            names.append(name)
            fields.append(field)
            model = nested_model(field)
        return cls(tuple(names), tuple(fields))

    def __str__(self) -> str:
        return ".".join(self.names)

    def steps(self) -> Iterator[tuple[str, ...]]:
        """For each part of the path, the names that it may have in the data."""
        for index, name in enumerate(self.names):
            yield input_names(name, self.fields[index]) if index < len(self.fields) else (name,)

    def is_in(self, data: object) -> bool:
        """Whether the data of one source says something of this field."""
        for names in self.steps():
            if not isinstance(data, Mapping):
                return True  # a value that stands for all that is in it
            found = [name for name in names if name in data]
            if not found:
                return False
            data = data[found[0]]
        return True

    def value_in(self, settings: BaseModel) -> object:
        """The field's value in settings; None behind an optional model that is not there."""
        value: object = settings
        for name in self.names:
            value = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
        return value
