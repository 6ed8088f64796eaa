"""A record in etcd as the data that pydantic-settings builds settings of."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, JsonValue

from etcdorm.errors import DecodeError, FieldFailure
from etcdorm.mapping.codecs import Location, Problem, from_json
from etcdorm.mapping.compile import Compiler
from etcdorm.mapping.tree import Tree
from etcdorm.path import Path
from etcdorm.settings.names import FieldPath, input_names, nested_model


class Values:
    """Reads the records of one settings class, which lie as those of an EtcdModel with the same fields.

    Raises: ModelError for a class with a field that can't lie in etcd.
    """

    def __init__(self, settings: type[BaseModel], path: Path) -> None:
        self._settings = settings
        self._path = path
        self._codec = Compiler(settings).compile(())

    def owns(self, name: str) -> bool:
        """Whether a relative key is one of the settings; "" is that of a document."""
        return not name or self._codec.owns(name)

    def read(self, fields: Mapping[str, str]) -> dict[str, JsonValue]:
        """The data of a record in either layout. What it says is typed later on, beside that of other sources.

        Keys and members that are no field of the settings are left out.
        Raises: DecodeError for what is no JSON where JSON is expected, or a directory where a key is; without what it
            holds, as that may be secret.
        """
        problems: list[Problem] = []
        read = self._document(fields[""], problems) if "" in fields else self._codec.decode(Tree.grow(fields), problems)
        if problems:
            failures = [
                FieldFailure(str(self._path / problem.key), self._codec.field(problem.key) or "*", problem.text)
                for problem in problems
            ]
            raise DecodeError(str(self._path), self._settings.__name__, failures)
        return _named(self._settings, read) if isinstance(read, dict) else {}

    def is_secret(self, location: Location) -> bool:
        """Whether a place in the values must not be shown."""
        return self._codec.is_secret(location)

    def key(self, field: FieldPath, *, in_document: bool) -> str:
        """Where a field lies in etcd."""
        return str(self._path if in_document else self._path / self._codec.locate(field.names))

    def _document(self, text: str, problems: list[Problem]) -> JsonValue:
        value = from_json(text, "", problems)
        if not isinstance(value, dict):
            if not problems:
                problems.append(Problem("", "JSON, but not an object"))
            return None
        return self._codec.from_document(value, "", problems)


def _named(model: type[BaseModel], values: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The values under the names that the model takes them by."""
    named: dict[str, JsonValue] = {}
    for name, field in model.model_fields.items():
        if name in values:
            value, inner = values[name], nested_model(field)
            named[input_names(name, field)[0]] = (
                _named(inner, value) if inner is not None and isinstance(value, dict) else value
            )
    return named
