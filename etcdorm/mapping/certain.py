"""Which edits of a model are certain to come back as they are, so that they need not be read back to know it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import BaseModel

_KINDS: Final[Mapping[str, type]] = {"str": str, "int": int, "bool": bool}
"""By their names in Pydantic's core schema: types whose values, without further rules, are what their texts say."""
_LARGE: Final = 1 << 63
_OTHER_PARTS: Final = ("metadata", "serialization", "computed_fields")
"""Parts of a core schema that have no say in a validation."""


class Certain:
    """The plain fields of one class; there are none where a function may look at several fields at once."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._kinds = _plain_fields(model)

    def comes_back(self, model: BaseModel, names: Iterable[str]) -> bool:
        """Whether these fields of a model, all others of which are as they were read, are certain to come back."""
        return all(_is_plain(model.__dict__[name], self._kinds.get(name)) for name in names)


def _is_plain(value: object, kind: type | None) -> bool:
    return type(value) is kind and (not isinstance(value, int) or -_LARGE < value < _LARGE)


def _plain_fields(model: type[BaseModel]) -> dict[str, type]:
    schema: Any = model.__pydantic_core_schema__  # Any: of any of a hundred kinds
    if schema["type"] != "model" or schema["schema"]["type"] != "model-fields" or _calls(schema):
        return {}
    has_rules = any(name.startswith("str_") for name in model.model_config)
    found: dict[str, type] = {}
    for name, field in schema["schema"]["fields"].items():
        inner = field["schema"]
        if inner["type"] == "default":
            inner = inner["schema"]
        kind = _KINDS.get(inner["type"])
        if kind is not None and inner.keys() <= {"type", "metadata"} and not (kind is str and has_rules):
            found[name] = kind
    return found


def _calls(schema: Any) -> bool:
    """Whether a validation by this core schema calls functions of the model's own."""
    if isinstance(schema, dict):
        if str(schema.get("type")).startswith("function-") or schema.get("post_init") or schema.get("custom_init"):
            return True
        if schema.get("default_factory_takes_data"):
            return True
        return any(_calls(part) for name, part in schema.items() if name not in _OTHER_PARTS)
    return isinstance(schema, list | tuple) and any(_calls(part) for part in schema)
