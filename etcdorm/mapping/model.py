"""EtcdModel, the base class of what is stored. It declares, and does nothing else: sessions do."""

from __future__ import annotations

import inspect
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, Unpack, get_args

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import CoreSchema

from etcdorm.errors import ModelError, PathError
from etcdorm.mapping.checks import check_names, unknown_type
from etcdorm.mapping.differ import Seen
from etcdorm.mapping.frozen import is_frozen, thaw
from etcdorm.mapping.schema import DECLARATION, Declaration, Layout, compile_schema, schema_of
from etcdorm.mapping.secrets import hide, hide_in_errors
from etcdorm.mapping.values import JSON_CONFIG
from etcdorm.path import Path
from etcdorm.store.types import KEEP, Record, Ttl

# BaseModel's own metaclass: to a type checker, the class that names it is neither frozen nor not (PEP 681). So it lets
# ``frozen=True`` pass on the classes below EtcdModel, as on those below BaseModel.
if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

# Not the name of any field, and with an underscore, so that Pydantic and dict(model) take it for no value.
_PLACE = "__etcd_place__"


@dataclass(slots=True)  # not frozen: a listing makes many, and that would make them twice as expensive
class Place:
    """Where a model was loaded from or saved to, and as what it was seen there."""

    record: Record
    read_at: float
    """When the record was read, by ``time.monotonic()``."""
    seen: Seen | None = field(default=None, compare=False)
    """The model's values that the record has given, or was made of; None when they are not known."""

    @classmethod
    def of(cls, record: Record, *, read_at: float | None = None, seen: Seen | None = None) -> Place:
        """The place of a record that was read just now, or at ``read_at``."""
        return cls(record, time.monotonic() if read_at is None else read_at, seen)

    @property
    def path(self) -> str:
        return str(self.record.path)

    @property
    def version(self) -> int:
        return self.record.version

    @property
    def created_index(self) -> int:
        return self.record.created

    @property
    def modified_index(self) -> int:
        return self.record.modified

    @property
    def ttl(self) -> float | None:
        """Seconds left until the record expires, by this machine's clock; None when it does not."""
        if self.record.ttl is None:
            return None
        return max(0.0, self.record.ttl - (time.monotonic() - self.read_at))

    def __repr__(self) -> str:
        facts = ("path", "version", "created_index", "modified_index")
        return f"Place({', '.join(f'{name}={getattr(self, name)!r}' for name in facts)})"

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self  # nothing in it changes, and a store's own detail may be no thing to copy


class EtcdModel(BaseModel, metaclass=ModelMetaclass):
    """A Pydantic model with a place in etcd.

    ``class Node(EtcdModel, path="/nodes/{name}")`` keeps each field in keys of its own, below ``/nodes/<name>``;
    ``layout="document"`` keeps the model as JSON in one key. A record is made with the ``ttl``, in whole seconds,
    unless the save says another; None is for records that stay, whatever the session's ttl is. ``version`` counts the
    forms that its records have had; ``upgrade`` tells how one becomes the next. All four are inherited, and a class
    without a path is abstract.
    Pydantic's settings are class arguments too, as in ``frozen=True``.

    Raises: ModelError for a class that can't be mapped, when it is made, or first used if it has forward references.
    """

    model_config = JSON_CONFIG

    def __init_subclass__(
        cls,
        *,
        path: str | None = None,
        layout: Layout | None = None,
        ttl: Ttl = KEEP,
        version: int | None = None,
        **config: Unpack[ConfigDict],
    ) -> None:
        try:
            super().__init_subclass__(**config)
        except TypeError as error:
            if not config:
                raise
            raise ModelError(
                f"{cls.__name__}: no class option is called {' or '.join(config)}; there are path, layout, ttl and "
                "version, and those of Pydantic's ConfigDict"
            ) from error
        if path is not None and not isinstance(path, str):
            raise ModelError(f"{cls.__name__}: the path {path!r} must be a text, as in path='/some/{{field}}'")
        with suppress(NameError):  # forward references, from Python 3.14 on; the name is then found with all the rest,
            check_names(cls, inspect.get_annotations(cls))  # but only after Pydantic has warned of it
        if layout is not None and layout not in get_args(Layout):
            raise ModelError(f"{cls.__name__}: the layout {layout!r} must be one of {get_args(Layout)}")
        if ttl not in (KEEP, None) and (isinstance(ttl, bool) or not isinstance(ttl, int) or ttl < 1):
            raise ModelError(f"{cls.__name__}: the ttl {ttl!r} must be whole seconds, from 1 on")
        if version is not None and (isinstance(version, bool) or not isinstance(version, int) or version < 1):
            raise ModelError(f"{cls.__name__}: the version {version!r} must be a whole number, from 1 on")
        inherited: object = getattr(cls, DECLARATION, None)
        base = inherited if isinstance(inherited, Declaration) else Declaration()
        declared = Declaration(
            base.path if path is None else path,
            layout or base.layout,
            base.ttl if ttl is KEEP else ttl,
            version or base.version,
        )
        setattr(cls, DECLARATION, declared)

    @classmethod
    def __pydantic_init_subclass__(cls, **arguments: object) -> None:
        super().__pydantic_init_subclass__(**arguments)
        hide(cls)
        hide_in_errors(cls)
        declared: Declaration = getattr(cls, DECLARATION)
        is_open = not cls.__pydantic_complete__ or cls.__pydantic_generic_metadata__["parameters"]
        if declared.path is not None and not is_open:
            with suppress(PydanticUndefinedAnnotation):  # in a model within: wait, as with one of its own
                compile_schema(cls)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[BaseModel], handler: GetCoreSchemaHandler) -> CoreSchema:
        try:
            return handler(source)
        except PydanticUserError as error:
            if isinstance(error, PydanticSchemaGenerationError) or error.code == "typed-dict-version":
                raise unknown_type(cls, error) from None
            raise

    def __copy__(self) -> Self:
        copied = super().__copy__()
        thaw(copied)
        return copied

    def __deepcopy__(self, memo: dict[int, object] | None = None) -> Self:
        copied = super().__deepcopy__(memo)
        thaw(copied)
        return copied

    @property
    def etcd(self) -> Place | None:
        """Where this object was loaded from or saved to; None when it never was."""
        return place_of(self)

    @classmethod
    def key(cls, *args: object, **fields: object) -> str:
        """The path of the record with these keys, in the order of the template or by name.

        Raises: UsageError for a key that is missing, unknown or not of its field's type.
        """
        return str(schema_of(cls).path_from(args, fields))

    @classmethod
    def match_key(cls, path: str) -> dict[str, object] | None:
        """The typed keys of a path, or None when it is not one that this class makes: the inverse of ``key``."""
        schema = schema_of(cls)
        try:
            return schema.match(Path.parse(path))
        except PathError:
            return None


def place_of(model: EtcdModel) -> Place | None:
    """The place of a model, or None."""
    place: object = model.__dict__.get(_PLACE)
    return place if isinstance(place, Place) else None


def place_new(model: EtcdModel, record: Record, seen: Seen) -> None:
    """Note on a model, which was just made of a record, where it is stored."""
    model.__dict__[_PLACE] = Place(record, time.monotonic(), seen)


def set_place(model: EtcdModel, place: Place | None) -> None:
    """Note where a model is stored, or that it no longer is. The model's values, and ``==``, don't change by it.

    One that is frozen stays as it is: it tells of the moment that it shows.
    """
    if is_frozen(model):
        return
    if place is None:
        model.__dict__.pop(_PLACE, None)
    else:
        model.__dict__[_PLACE] = place
