"""What another save that came between means: an error that tells all, or two edits put together."""

from __future__ import annotations

from typing import Final, Literal, TypeVar, get_args

from etcdorm.errors import (
    ConflictError,
    DecodeError,
    EncodeError,
    LeaseLapsedError,
    NewerVersionError,
    NotFoundError,
    UsageError,
)
from etcdorm.mapping import EtcdModel, Schema, set_place
from etcdorm.mapping.merge import RuleFailed, edited, merge
from etcdorm.mapping.records import to_model, version_of
from etcdorm.store import Record

M = TypeVar("M", bound=EtcdModel)

OnConflict = Literal["raise", "merge", "overwrite"]
"""What a save does when another one came between: refuse, put both together, or replace what is there."""
_WAYS: Final = get_args(OnConflict)


def check_on_conflict(given: object) -> None:
    """Raise UsageError for what is none."""
    if given not in _WAYS:
        raise UsageError(f"on_conflict must be one of {_WAYS}, not {given!r}")


def merged(schema: Schema[M], base: Record, mine: M, current: Record) -> M:
    """The edits of ``mine`` and those in ``current``, both made of ``base``, in one valid model.

    Raises: ConflictError where both edited one value, or their edits don't go together; NewerVersionError.
    """
    if (newer := _newer(schema, current)) is not None:
        raise newer
    before, theirs = _try_decode(schema, base), _try_decode(schema, current)
    if before is None or theirs is None:
        why = "what is stored can't be read, so the edits can't be merged"
        raise _conflict(schema, mine, base.where, base, current, "saved", why)
    try:
        found = merge(before, mine, theirs)
        if found.clashes:
            why = f"both changed {', '.join(found.clashes)}"
            raise _conflict(schema, mine, base.where, base, current, "saved", why)
        schema.encode(found.model, document=current.is_document, onto=current.fields)
    except EncodeError as error:
        why = "the edits of both, put together, are not valid"
        raise _conflict(schema, mine, base.where, base, current, "saved", why) from error
    except RuleFailed as failed:
        why = f"the Merge rule of {failed.at} failed ({type(failed.__cause__).__name__})"
        # Its own words may quote what it was given.
        cause = None if schema.has_secrets else failed.__cause__
        raise _conflict(schema, mine, base.where, base, current, "saved", why) from cause
    return found.model


def refused(
    schema: Schema[M], mine: M, where: str, base: Record | None, current: Record | None, done: str
) -> ConflictError | NotFoundError | NewerVersionError:
    """The error for a write that was refused because the record is ``current`` now, and not as it was loaded.

    ``where`` is its path in etcd, and ``done`` says what was not done.
    """
    if base is not None and current is None:
        return _gone(mine, base, done)
    newer = None if current is None else _newer(schema, current)
    return newer or _conflict(schema, mine, where, base, current, done, "")


def _gone(mine: EtcdModel, base: Record, done: str) -> NotFoundError:
    set_place(mine, None)
    name = type(mine).__name__
    anew = f"this {name} is a new object now, and saving it makes the record anew"
    if base.ttl is not None:
        # Its remains, which would have told, may be cleared away already; and a document leaves none.
        return LeaseLapsedError(
            f"{base.where}: the record had a TTL and does not exist any more, so nothing was {done}; {anew}"
        )
    return NotFoundError(
        f"{base.where}: the record was deleted after this {name} was loaded, so nothing was {done}; {anew}"
    )


def _conflict(
    schema: Schema[M], mine: M, where: str, base: Record | None, current: Record | None, done: str, why: str
) -> ConflictError:
    before = None if base is None else _try_decode(schema, base)
    theirs = None if current is None else _try_decode(schema, current)
    if before is not None and theirs is not None:
        fields: tuple[str, ...] = edited(before, theirs)
        clashes = merge(before, mine, theirs, rules=False).clashes
    else:
        fields, clashes = _keys(base, current), ()
    what = f"another save changed {', '.join(fields)}" if fields else "another save came"
    versions = "" if base is None or current is None else f" (version {base.version} then, {current.version} now)"
    advice = "reload it and try again, or use session.update"
    if current is not None and theirs is None:
        advice = 'what is there now does not fit the class: save with on_conflict="overwrite" to replace it'
    reason = f", and {why}" if why else f", and so does this one with {', '.join(clashes)}" if clashes else ""
    return ConflictError(
        f"{where}: {what} after this {type(mine).__name__} was loaded{versions}{reason}, so nothing was "
        f"{done}; {advice}",
        base=before,
        mine=mine,
        theirs=theirs,
        fields=fields,
        clashes=clashes,
    )


def _keys(base: Record | None, current: Record | None) -> tuple[str, ...]:
    """The keys that differ, where there are no two models to compare."""
    before, after = ({} if record is None else record.fields for record in (base, current))
    return tuple(sorted(name for name in {*before, *after} if name and before.get(name) != after.get(name)))


def _newer(schema: Schema[M], record: Record) -> NewerVersionError | None:
    """Why a record can't be written, if newer code has saved it meanwhile."""
    try:
        version_of(schema, record)
    except NewerVersionError as error:
        return error
    except DecodeError:
        pass
    return None


def _try_decode(schema: Schema[M], record: Record) -> M | None:
    try:
        return to_model(schema, record)
    except DecodeError:
        return None
