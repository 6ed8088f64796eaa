"""What users call: the methods of a session, each in terms of the modules beside this one."""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Literal, Self, TypeVar, overload

from etcdorm.errors import ConflictError, UsageError
from etcdorm.live import Hubs
from etcdorm.mapping import EtcdModel, schema_of
from etcdorm.mapping.schema import Layout
from etcdorm.recipes import Keeper
from etcdorm.session import listing, loading, many, migrating, saving, sequence
from etcdorm.session.backoff import Backoff
from etcdorm.session.conflicts import OnConflict, check_on_conflict
from etcdorm.session.coordination import Coordination
from etcdorm.session.defaults import Defaults
from etcdorm.session.listing import Listing, OnInvalid, OrderBy
from etcdorm.session.many import OnProgress, Results
from etcdorm.session.migrating import Migrated
from etcdorm.session.sequence import Latest, Tail
from etcdorm.session.watching import Watching
from etcdorm.store import KEEP, Namespaced, Store, Ttl

M = TypeVar("M", bound=EtcdModel)
K = TypeVar("K")


class Session(Coordination, Watching):
    """Loads, saves and watches models in one store, which it owns and closes.

    With a ``namespace``, all that it reads, writes, locks and watches lies below that path (docs/namespaces.md).
    A session holds no models: what a model knows of its place in etcd is ``model.etcd``. Any number of tasks may use
    one session at the same time.
    """

    def __init__(
        self,
        store: Store,
        *,
        timeout: float = 10.0,
        layout: Layout = "directory",
        ttl: int | None = None,
        namespace: str | None = None,
    ) -> None:
        self._store = store if namespace is None else Namespaced(store, namespace)
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
            raise UsageError(f"timeout must be seconds, more than 0, not {timeout!r}")
        self._timeout = timeout
        self._defaults = Defaults(layout, ttl)
        self._hubs = Hubs(self._store)
        self._keeper = Keeper()

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The URLs of the cluster; with ``"embedded:"``, of the etcd that was started."""
        return self._store.endpoints

    @property
    def namespace(self) -> str | None:
        """What stands before the paths of this session in etcd, as in ``/team-a``; None without one."""
        return self._store.namespace or None

    @property
    def store(self) -> Store:
        """The port that the session stands on, for what works with records and not with models."""
        return self._store

    async def save(self, model: M, *, ttl: Ttl = KEEP, on_conflict: OnConflict = "raise") -> M:
        """Write a new object, or what has changed in one that was loaded or saved before: all of it, or nothing.

        Only changed fields are written. An object whose key fields were changed is a new one, at its new path; so is
        one that was loaded from another cluster or namespace.
        When another save came between, this one is refused; with ``on_conflict="merge"`` the edits of both are put
        together field by field (``Merge`` says how, where both edited one), and the object has them all then; with
        ``"overwrite"`` the record becomes what this object says, also when it was deleted, or when the object is new.
        A record of an older version is written in the form of this one, also when nothing else has changed.
        Units: ``ttl`` in whole seconds; None takes a TTL away; by default a record keeps the one it has, and a new one
            gets that of its class or session.
        Resend: a lost answer is settled by reading; the save happens once or not at all.
        Cancel: it may have happened, whole.
        Raises: AlreadyExistsError for a new object where a record is; ConflictError when another save came between;
            NotFoundError when the record was deleted, LeaseLapsedError when its TTL ran out (the object is a new one
            then, and saving it again makes the record anew); NewerVersionError when newer code has saved it meanwhile,
            whatever ``on_conflict`` is; EncodeError; UnconfirmedError; UnavailableError.
        """
        await saving.save(
            self._store, model, ttl=ttl, on_conflict=on_conflict, defaults=self._defaults, timeout=self._timeout
        )
        return model

    async def load(self, model: type[M], /, *key: object, **fields: object) -> M:
        """The model with this key, in the order of its path or by name.

        Raises: NotFoundError; DecodeError when what is stored does not fit, and NewerVersionError, which is one, when
            newer code has saved it; UsageError for a key that can't be one.
        """
        schema = schema_of(model)
        path = schema.path_from(key, fields)
        return loading.there(self._store, schema, path, await loading.get(self._store, schema, path))

    async def get(self, model: type[M], /, *key: object, **fields: object) -> M | None:
        """As ``load``, but None when there is no such record."""
        schema = schema_of(model)
        return await loading.get(self._store, schema, schema.path_from(key, fields))

    async def exists(self, model: type[M], /, *key: object, **fields: object) -> bool:
        """Whether there is a record with this key, in the order of its path or by name; be it one that does not fit."""
        schema = schema_of(model)
        return await listing.exists(self._store, schema, schema.path_from(key, fields))

    @overload
    async def list(
        self,
        model: type[M],
        /,
        *,
        where: Callable[[M], bool] | None = None,
        order_by: OrderBy[M] | None = None,
        limit: int | None = None,
        after: object = None,
        on_invalid: Literal["raise", "skip"] = "raise",
        **fields: object,
    ) -> builtins.list[M]: ...

    @overload
    async def list(
        self,
        model: type[M],
        /,
        *,
        where: Callable[[M], bool] | None = None,
        order_by: OrderBy[M] | None = None,
        limit: int | None = None,
        after: object = None,
        on_invalid: Literal["collect"],
        **fields: object,
    ) -> Listing[M]: ...

    async def list(
        self,
        model: type[M],
        /,
        *,
        where: Callable[[M], bool] | None = None,
        order_by: OrderBy[M] | None = None,
        limit: int | None = None,
        after: object = None,
        on_invalid: OnInvalid = "raise",
        **fields: object,
    ) -> builtins.list[M]:
        """All models of a class, sorted by path, of one moment, in one request; key fields narrow it.

        ``where(model)`` chooses among them. ``order_by`` is a field, ``"-field"`` for the greatest first, several of
        them, or a function as ``sorted`` takes it for ``key``; None comes last. ``limit`` is how many there are at
        most. ``after`` is a model, or a key as in ``update``, there or not, behind which to go on, in the order of
        paths: ``list(Node, limit=100, after=page[-1])``.
        etcd v2 has no paging: the request reads the sub-tree of the leading key fields that are given, however little
        is wanted of it. ``limit`` and ``after`` save decoding the rest, and each page is of a moment of its own.
        A record that does not fit is an error; with ``on_invalid="skip"`` it is left out with a warning that names its
        path, and with ``"collect"`` its DecodeError is in ``invalid`` of the list. With ``limit`` those that lie
        behind the page are not met.
        Raises: DecodeError for the first record that does not fit; UsageError.
        """
        return await listing.list_models(
            self._store,
            schema_of(model),
            fields,
            where=where,
            order_by=order_by,
            limit=limit,
            after=after,
            on_invalid=on_invalid,
        )

    async def count(self, model: type[M], /, **fields: object) -> int:
        """How many records of a class there are, narrowed by key fields, those included that do not fit.

        One request, which reads what ``list`` would read: etcd v2 does not count. No field is decoded.
        """
        return await listing.count(self._store, schema_of(model), fields)

    async def keys(self, model: type[M], /, **fields: object) -> builtins.list[tuple[object, ...]]:
        """The keys of the records that ``count`` counts, sorted by path: what ``load`` takes, as ``load(Node, *key)``.

        Each is a tuple of the key fields in the order of the path, also when there is only one. The values are of the
        fields' types; a type checker can't know which these are.
        """
        return await listing.keys(self._store, schema_of(model), fields)

    async def save_all(
        self,
        models: Iterable[M],
        *,
        ttl: Ttl = KEEP,
        on_conflict: OnConflict = "raise",
        limit: int = 32,
        on_progress: OnProgress | None = None,
    ) -> Results[M, M]:
        """Save each of many objects as ``save`` does, ``limit`` of them at a time; one result or error for each.

        Each is saved by itself: some may be, and others not. The iterable is read as there is room, so it may be a
        generator of any length; what it raises comes out when the saves under way have ended. An object that comes
        twice is saved once, and then again what has changed in it since. ``on_progress(done, total)`` is called after
        each; ``total`` is None when the iterable has no length. An error in it is logged.
        Resend: as ``save``. After errors, the same call saves what is left: a saved object sends nothing.
        Cancel: those under way end, and each of them may have happened, whole; objects that were saved have a place.
        Raises: UsageError; the errors of the saves are in the results, see ``raise_for_errors``.
        """
        check_on_conflict(on_conflict)

        async def save(model: M) -> M:
            return await self.save(model, ttl=ttl, on_conflict=on_conflict)

        return await many.run(save, models, "saved", limit=limit, on_progress=on_progress)

    async def load_all(
        self, model: type[M], keys: Iterable[K], *, limit: int = 32, on_progress: OnProgress | None = None
    ) -> Results[K, M]:
        """Load each of many keys as ``load`` does; one model or error for each, in their order.

        A key is one value, or a tuple of them. They are not of one moment, and take a request each; ``list`` is one for
        all. ``limit``, ``on_progress`` and the iterable are as in ``save_all``.
        Raises: UsageError; the errors of the loads are in the results.
        """
        schema = schema_of(model)

        async def load(key: K) -> M:
            return await self.load(schema.model, *(key if isinstance(key, tuple) else (key,)))

        return await many.run(load, keys, "loaded", limit=limit, on_progress=on_progress)

    async def delete_all(
        self, models: Iterable[M], *, limit: int = 32, on_progress: OnProgress | None = None
    ) -> Results[M, M]:
        """Delete the records of many objects as ``delete`` does; one result or error for each, in their order.

        An object that comes twice is deleted once, and has two results. ``limit``, ``on_progress`` and the iterable are
        as in ``save_all``.
        Cancel: those under way end, and each of them may have happened, whole; objects that were deleted have no place.
        Raises: UsageError; the errors of the deletes are in the results.
        """
        deleted: set[int] = set()

        async def delete(model: M) -> M:
            if id(model) not in deleted:
                await self.delete(model)
                deleted.add(id(model))
            return model

        return await many.run(delete, models, "deleted", limit=limit, on_progress=on_progress)

    async def migrate(
        self,
        model: type[M],
        /,
        *,
        dry_run: bool = False,
        limit: int = 32,
        on_progress: OnProgress | None = None,
        **fields: object,
    ) -> Results[str, Migrated]:
        """Bring the records of a class to its version, ``limit`` of them at a time; a result or error for each path.

        All are read in one request, narrowed by key fields. Those of an older version are loaded and saved, each by
        itself and with the hooks of both; those that are current send nothing and have no result. What somebody saves
        meanwhile is loaded again. One that can't be upgraded, or is of a newer version, is an error in the results.
        With ``dry_run=True`` nothing is written: ``changes`` of each result tells what would be. ``before_save`` is
        called, and ``after_save`` is not. ``on_progress`` is as in ``save_all``.
        Resend: as ``save``. After errors, the same call does what is left.
        Cancel: each record is as it was or migrated, whole; the same call does what is left. So it does after a crash.
        Raises: UsageError; the errors of the records are in the results, see ``raise_for_errors``.
        """
        return await migrating.migrate(
            self._store,
            schema_of(model),
            fields,
            dry_run=dry_run,
            limit=limit,
            on_progress=on_progress,
            defaults=self._defaults,
            timeout=self._timeout,
        )

    async def reload(self, model: M) -> M:
        """Bring an object up to date with etcd; its unsaved changes are gone then.

        Raises: NotFoundError; DecodeError, with the object as it was.
        """
        schema = schema_of(type(model))
        await loading.reload(self._store, schema, model)
        return model

    async def delete(self, model: EtcdModel) -> None:
        """Delete the record of an object that was loaded or saved; the object is a new one then.

        Keys in its directory that the model does not know are left, and so is the directory then.
        Cancel: it may have happened, whole.
        Raises: ConflictError when another save came between; NotFoundError when it is gone already.
        """
        await saving.delete(self._store, model)

    async def update(self, model: type[M], key: object, change: Callable[[M], M | Awaitable[M | None] | None]) -> M:
        """Load, ``change(model)``, save; and again, from what is there by then, when another save came between.

        ``key`` is one value, or a tuple of them for a path with several (or no) key fields. ``change`` may be async; it
        changes the object, or returns another one (for frozen models: ``model_copy``). It may be called several times.
        Raises: as ``load`` and ``save``; ConflictError when others keep coming between until the time is up.
        """
        schema = schema_of(model)
        if not callable(change):
            raise UsageError(f"change is called with the object that was loaded; {change!r} can't be called")
        path = schema.path_from(key if isinstance(key, tuple) else (key,), {})
        backoff = Backoff(self._timeout)
        while True:
            found = await loading.get(self._store, schema, path, fresh=backoff.tries > 0)
            loaded = loading.there(self._store, schema, path, found)
            changed = change(loaded)
            if inspect.isawaitable(changed):
                changed = await changed
            if changed is not None and not isinstance(changed, model):
                raise UsageError(
                    f"change returned a {type(changed).__name__}; it must return None, having changed the object, or a "
                    f"{model.__name__} to save; nothing was written"
                )
            wanted = loaded if changed is None else changed
            try:
                return await self.save(wanted)
            except ConflictError as error:
                if error.mine is not wanted or not await backoff.pause():
                    raise

    async def append(self, model: M, *, ttl: Ttl = KEEP) -> M:
        """Write an object under a key that the server makes; keys grow in the order of the appends.

        The last segment of the class's path is the key field that takes it. The object is stored as one JSON key, in
        either layout: that is what etcd can number. An object that was appended or loaded before makes another record,
        and stands for that one then. It takes two requests, one after the other.
        Units: ``ttl`` in whole seconds, after which the record ends by itself; by default that of its class or session,
            if they have one, and None for none.
        Resend: a lost answer is settled by reading; the record is there once or not at all.
        Cancel: it may have happened, whole. A cancelled one may hold up ``records`` and ``tail`` for five seconds.
        Raises: UnavailableError when it did not happen and never will; UnconfirmedError when its answer was lost, and
            it may have been deleted since; EncodeError; UsageError for a class that can't be appended.
        """
        await sequence.append(self._store, model, ttl=ttl, defaults=self._defaults)
        return model

    @overload
    async def records(
        self,
        model: type[M],
        /,
        *,
        after: M | str | int | None = None,
        limit: int | None = None,
        on_invalid: Literal["raise", "skip"] = "raise",
        **fields: object,
    ) -> builtins.list[M]: ...

    @overload
    async def records(
        self,
        model: type[M],
        /,
        *,
        after: M | str | int | None = None,
        limit: int | None = None,
        on_invalid: Literal["collect"],
        **fields: object,
    ) -> Listing[M]: ...

    async def records(
        self,
        model: type[M],
        /,
        *,
        after: M | str | int | None = None,
        limit: int | None = None,
        on_invalid: OnInvalid = "raise",
        **fields: object,
    ) -> builtins.list[M]:
        """The appended records behind ``after``, in the order of their keys, and ``limit`` of them at most.

        ``after`` is a record or its key; without it they begin with the first. Key fields narrow it; without, several
        directories come in one order. All keys are read in one request, and only what is returned is decoded. They end
        in front of a key whose append is under way, as its record has its place before those that follow. So who goes
        on after the last one he got misses none. ``on_invalid`` is as in ``list``.
        Raises: DecodeError for the first record that does not fit; NotFoundError when the store has not come as far as
            ``after``, as it is another one; UsageError.
        """
        return await sequence.records(
            self._store, schema_of(model), fields, after=after, limit=limit, on_invalid=on_invalid
        )

    def tail(self, model: type[M], /, *, after: M | str | int | Latest | None = None, **fields: object) -> Tail[M]:
        """The appended records behind ``after``, then each new one: ``async with session.tail(Event) as events``.

        ``after`` is as in ``records``; with ``LATEST``, only new ones come. Each comes once, in the order of the keys,
        and none is left out, over breaks and cleared histories as well; but for what is deleted before its turn.
        """
        return sequence.tail(self._store, schema_of(model), fields, after=after)

    async def trim(
        self,
        model: type[M],
        /,
        *,
        keep: int | None = None,
        older_than: M | str | int | None = None,
        where: Callable[[M], bool] | None = None,
        **fields: object,
    ) -> int:
        """Delete appended records, the oldest first and some at a time; returns how many.

        Those that meet all that is given: not among the ``keep`` newest; before the record or key ``older_than``;
        ``where(record)`` is true. It works on what ``records`` shows, so what is appended meanwhile stays. A record
        that somebody changes meanwhile stays too. Key fields narrow it. Any number may trim at once.
        Resend: each deletion is settled. After an error some are deleted, and it can be called again.
        Cancel: some may be deleted.
        Raises: UsageError when nothing is given to choose by; with ``where``, DecodeError before anything is deleted.
        """
        schema = schema_of(model)
        return await sequence.trim(self._store, schema, fields, keep=keep, older_than=older_than, where=where)

    async def close(self) -> None:
        """Keep nothing alive any longer, end what is watched, and close the store and its connections.

        May be called twice.
        """
        try:
            await self._keeper.close()
        finally:
            await self._end_watching()

    async def _end_watching(self) -> None:
        try:
            await self._hubs.close()
        finally:
            await self._store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
