"""Reading many records at once: filtered, ordered, in pages; counted; or their keys alone."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Any, Literal, Protocol, TypeVar, get_args

from etcdorm import hooks
from etcdorm.errors import DecodeError, UsageError
from etcdorm.mapping import EtcdModel, Schema
from etcdorm.mapping.records import is_ours, to_model
from etcdorm.path import Path
from etcdorm.store import Record, Store

M = TypeVar("M", bound=EtcdModel)

Segments = tuple[str, ...]
OnInvalid = Literal["raise", "skip", "collect"]

_log = logging.getLogger("etcdorm.session")
_NAMED = 5
"""Paths that a warning names."""


class Sortable(Protocol):
    def __lt__(self, other: Any, /) -> bool: ...  # Any: what a value may be compared with is its own matter


OrderBy = str | Sequence[str] | Callable[[M], Sortable]
"""The name of a field, ``"-name"`` for the greatest first, several of them, or a key as of ``sorted``."""


class Listing(list[M]):
    """A list of models that also tells of the records that did not fit."""

    def __init__(self, models: Iterable[M] = (), invalid: Iterable[DecodeError] = ()) -> None:
        super().__init__(models)
        self.invalid: tuple[DecodeError, ...] = tuple(invalid)
        """One for each such record, sorted by path; ``path`` and ``failures`` say what is wrong with it."""


async def list_models(
    store: Store,
    schema: Schema[M],
    fields: Mapping[str, object],
    *,
    where: Callable[[M], bool] | None,
    order_by: OrderBy[M] | None,
    limit: int | None,
    after: object,
    on_invalid: OnInvalid,
) -> Listing[M]:
    """As ``Session.list``."""
    check_on_invalid(on_invalid)
    check_count("limit", limit)
    if after is not None and order_by is not None:
        raise UsageError("after= goes on in the order of paths, so it can't be combined with order_by=")
    check_filter(where)
    names = _fields_of(schema, order_by)
    start = None if after is None else _path_of(schema, after)
    collection = schema.collection(fields)
    await hooks.before_load(schema, collection.prefix, namespace=store.namespace)
    found = await store.scan(collection, owns=schema.owns, after=start)
    invalid: list[DecodeError] = []
    errors = None if on_invalid == "raise" else invalid
    if limit is not None and order_by is None:
        # Sorted first, so that nothing behind the page has to be decoded.
        listed = await chosen(schema, read(schema, sorted(found, key=_segments)), errors, where=where, limit=limit)
    else:
        # Decoded as they come, each while it is in the processor's cache; and the store may let go of it.
        listed = await chosen(schema, sorted(read(schema, found), key=itemgetter(0)), errors, where=where)
    if order_by is not None:
        listed = _sorted_by_fields(schema, listed, names) if names is not None else sorted(listed, key=_key(order_by))
        del listed[len(listed) if limit is None else limit :]
    return told(schema, listed, invalid, on_invalid)


async def count(store: Store, schema: Schema[M], fields: Mapping[str, object]) -> int:
    """As ``Session.count``."""
    found = await store.scan(schema.collection(fields), owns=schema.owns)
    return sum(schema.match(path) is not None for path in _paths(schema, found))


async def keys(store: Store, schema: Schema[M], fields: Mapping[str, object]) -> list[tuple[object, ...]]:
    """As ``Session.keys``."""
    found = await store.scan(schema.collection(fields), owns=schema.owns)
    paths = sorted(_paths(schema, found), key=attrgetter("segments"))
    values = (schema.match(path) for path in paths)
    return [tuple(each.values()) for each in values if each is not None]


async def exists(store: Store, schema: Schema[M], path: Path) -> bool:
    """As ``Session.exists``."""
    try:
        record = await store.read(path, owns=schema.owns)
    except DecodeError:
        return True
    return record is not None and is_ours(schema, record)


def read(schema: Schema[M], found: Iterable[Record | DecodeError]) -> Iterator[tuple[Segments, M | DecodeError]]:
    """Each model, or the error of a record that does not fit, with its path's segments; as they are asked for."""
    for each in found:
        if isinstance(each, DecodeError):
            yield _segments(each), each
            continue
        try:
            model = to_model(schema, each)
        except DecodeError as error:
            yield each.path.segments, error
        else:
            if model is not None:
                yield each.path.segments, model


def check_count(parameter: str, number: int | None) -> None:
    if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 0):
        raise UsageError(f"{parameter} must be a whole number from 0 on, not {number!r}")


def check_on_invalid(on_invalid: OnInvalid) -> None:
    if on_invalid not in get_args(OnInvalid):
        raise UsageError(f"on_invalid must be one of {get_args(OnInvalid)}, not {on_invalid!r}")


def check_filter(where: Callable[[M], bool] | None) -> None:
    """Raise UsageError for what is no filter, or known to be async, before anything is read."""
    if where is not None and not callable(where):
        raise UsageError(f"where is called for each model and returns whether it is wanted; {where!r} can't be called")
    if inspect.iscoroutinefunction(where):
        raise _async_filter()


def wants(where: Callable[[M], bool], model: M) -> bool:
    """What a filter says of a model.

    Raises: UsageError when that is something to be awaited, which would be true of every model.
    """
    wanted: object = where(model)
    if inspect.isawaitable(wanted):
        if inspect.iscoroutine(wanted):
            wanted.close()
        raise _async_filter()
    return bool(wanted)


def _async_filter() -> UsageError:
    return UsageError("where is called for each model and can't be async: it returns whether the model is wanted")


async def chosen(
    schema: Schema[M],
    found: Iterable[tuple[Segments, M | DecodeError]],
    invalid: list[DecodeError] | None,
    *,
    where: Callable[[M], bool] | None = None,
    limit: int | None = None,
) -> list[M]:
    """The first that are wanted; those behind them are not asked for. Errors are raised, or noted in ``invalid``."""
    wanted: list[M] = []
    if limit == 0:
        return wanted
    for _, model in found:
        if isinstance(model, DecodeError):
            if invalid is None:
                raise model
            invalid.append(model)
            continue
        if schema.hooks.after_load:
            await hooks.after_load(model)
        if where is None or wants(where, model):
            wanted.append(model)
            if len(wanted) == limit:
                break
    return wanted


def told(schema: Schema[M], models: Iterable[M], invalid: Sequence[DecodeError], on_invalid: OnInvalid) -> Listing[M]:
    """What the caller gets, with what he wants to know of those that did not fit."""
    if invalid and on_invalid == "skip":
        _warn(schema, invalid)
    return Listing(models, invalid if on_invalid == "collect" else ())


def _paths(schema: Schema[M], found: Iterable[Record | DecodeError]) -> Iterator[Path]:
    """The paths of the model's records, of those too that can't be read."""
    for each in found:
        if isinstance(each, DecodeError):
            yield Path.parse(each.path)
        elif is_ours(schema, each):
            yield each.path


def _segments(found: Record | DecodeError) -> Segments:
    return found.path.segments if isinstance(found, Record) else Path.parse(found.path).segments


def _path_of(schema: Schema[M], after: object) -> Path:
    """The path that a page follows on, given by a model or a key.

    Raises: UsageError.
    """
    if isinstance(after, schema.model):
        return schema.path(after)
    if isinstance(after, EtcdModel):
        raise UsageError(f"after= is a {type(after).__name__}, but what is listed is {schema.name}")
    return schema.path_from(after if isinstance(after, tuple) else (after,), {})


def _fields_of(schema: Schema[M], order_by: OrderBy[M] | None) -> list[str] | None:
    """The names to order by, each with its minus sign; None when it is a function, or nothing.

    Raises: UsageError.
    """
    if order_by is None or callable(order_by):
        return None
    names = [order_by] if isinstance(order_by, str) or not isinstance(order_by, Iterable) else list(order_by)
    if not all(isinstance(name, str) for name in names):
        raise UsageError(f"order_by must be the name of a field, several of them, or a function, not {order_by!r}")
    known = [*schema.model.model_fields, *schema.model.model_computed_fields]
    if unknown := [name for name in names if name.removeprefix("-") not in known]:
        raise UsageError(f"{schema.name} has no field {unknown[0]!r} to be ordered by; there are: {', '.join(known)}")
    return names


def _key(order_by: OrderBy[M]) -> Callable[[M], Any]:
    assert callable(order_by)
    return order_by


def _sorted_by_fields(schema: Schema[M], models: Iterable[M], names: Sequence[str]) -> list[M]:
    """Sorted by the first name, equal ones by the next; None comes last, in either direction."""
    ordered = list(models)
    for name in reversed(names):
        field = name.removeprefix("-")
        values = [(getattr(model, field), model) for model in ordered]
        try:
            some = sorted((pair for pair in values if pair[0] is not None), key=_first, reverse=name != field)
        except TypeError as error:
            raise UsageError(f"{schema.name} can't be ordered by {field!r}: {error}") from error
        ordered = [model for _, model in some] + [model for value, model in values if value is None]
    return ordered


def _first(pair: tuple[Any, object]) -> Any:  # Any: what the field holds
    return pair[0]


def _warn(schema: Schema[M], invalid: Sequence[DecodeError]) -> None:
    """Without what the records hold, which may be secret."""
    paths = ", ".join(f"{error.namespace}{error.path}" for error in invalid[:_NAMED])
    more = f" and {len(invalid) - _NAMED} more" if len(invalid) > _NAMED else ""
    text = "%d records were left out, as they do not hold a valid %s: %s%s"
    _log.warning(text, len(invalid), schema.name, paths, more)
