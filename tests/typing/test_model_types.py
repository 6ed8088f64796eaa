"""Model classes and their objects, changes and errors, as type checkers see them. Nothing here is run.

What has to be refused carries a ``type: ignore``: a checker that takes it says that the comment is not needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, assert_type

from pydantic import BaseModel, Field

from etcdorm import (
    AlreadyExistsError,
    AsJson,
    Change,
    ConflictError,
    Created,
    DecodeError,
    Deleted,
    EncodeError,
    EtcdModel,
    EtcdormError,
    Expired,
    FieldFailure,
    HookError,
    Invalid,
    LeaseLapsedError,
    LockLostError,
    LockTimeoutError,
    Merge,
    ModelError,
    NewerVersionError,
    NotFoundError,
    PathError,
    Place,
    RefusedError,
    ServerError,
    UnavailableError,
    UnconfirmedError,
    Updated,
    UsageError,
    after_delete,
    after_load,
    after_save,
    before_delete,
    before_load,
    before_save,
)
from etcdorm.store import Record


class Limits(BaseModel):
    cpu: int = 1


class Abstract(EtcdModel):
    name: str


class Node(Abstract, path="/nodes/{name}", ttl=30, extra="forbid"):
    host: str
    port: int = 8080
    labels: dict[str, str] = {}
    limits: Annotated[Limits, AsJson()] = Limits()
    tags: Annotated[set[str], Merge("union")] = Field(default_factory=set)
    weight: Annotated[float, Merge(lambda base, mine, theirs: mine + theirs - base)] = 1.0


class Doc(EtcdModel, path="/docs/{name}", layout="document", frozen=True):
    name: str
    size: int = 0


# -- classes ----------------------------------------------------------------------------------------------------------
# Of their arguments checkers know only that there may be any: the metaclass is Pydantic's, and takes whatever comes.


def markers(merge: Merge) -> None:
    assert_type(AsJson(), AsJson)
    assert_type(Merge("max"), Merge)
    assert_type(merge.resolve({1}, {2}, {3}), object)
    assert_type(callable(merge.how), bool)
    Merge("ours")  # type: ignore[arg-type]
    Merge(lambda mine: mine)  # type: ignore[arg-type, misc]
    AsJson("limits")  # type: ignore[call-arg]


if TYPE_CHECKING:  # some of it is refused when it is run

    class Hooked(EtcdModel, path="/hooked/{name}"):
        name: str

        @before_save
        def saving(self) -> None: ...

        @after_save
        async def saved(self) -> None: ...

        @before_load
        @classmethod
        async def reading(cls, path: str) -> None: ...

        @after_load
        def loaded(self) -> None: ...

        @before_delete
        async def deleting(self) -> None: ...

        @after_delete
        def deleted(self) -> None: ...

        @before_save  # type: ignore[type-var]
        def returning(self) -> int:
            return 0

        @after_load  # type: ignore[type-var]
        def wanting(self, more: str) -> None: ...

        @before_load  # type: ignore[type-var]
        @classmethod
        def without_path(cls) -> None: ...


async def hooks_stay_methods(hooked: Hooked) -> None:
    assert_type(hooked.saving, Callable[[], None])
    assert_type(await hooked.saved(), None)


# -- objects -----------------------------------------------------------------------------------------------------------


def constructing() -> None:
    assert_type(Node(name="n1", host="h"), Node)
    assert_type(Node(name="n1", host="h", port=1, labels={"a": "b"}, limits=Limits(cpu=2), tags={"a"}, weight=1), Node)
    assert_type(Doc(name="d"), Doc)
    Node(name="n1", host="h", hots="x")  # type: ignore[call-arg]
    Node(name="n1")  # type: ignore[call-arg]
    Node(host="h")  # type: ignore[call-arg]
    Node("n1", "h")  # type: ignore[call-arg]
    Node(name=1, host="h")  # type: ignore[arg-type]
    Node(name="n1", host="h", port="8080")  # type: ignore[arg-type]
    Node(name="n1", host=None)  # type: ignore[arg-type]
    Node(name="n1", host="h", labels={"a": 1})  # type: ignore[dict-item]
    Node(name="n1", host="h", limits={"cpu": 2})  # type: ignore[arg-type]
    Node(name="n1", host="h", path="/elsewhere")  # type: ignore[call-arg]
    Doc(name="d", size="large")  # type: ignore[arg-type]


def assigning(node: Node, doc: Doc) -> None:
    assert_type(node.name, str)
    assert_type(node.limits, Limits)
    assert_type(doc.size, int)
    node.port = 9090
    node.labels["a"] = "b"
    node.port = "9090"  # type: ignore[assignment]
    node.labels["a"] = 1  # type: ignore[assignment]
    node.hots = "h"  # type: ignore[attr-defined]
    node.etcd = None  # type: ignore[misc]
    doc.size = 1  # type: ignore[misc]


def keys(node: Node) -> None:
    assert_type(node.etcd, Place | None)
    assert_type(Node.key("n1"), str)
    assert_type(Node.key(name="n1"), str)
    assert_type(Node.match_key("/nodes/n1"), dict[str, object] | None)
    Node.match_key(7)  # type: ignore[arg-type]


def places(place: Place, record: Record) -> None:
    assert_type(place.path, str)
    assert_type(place.version, int)
    assert_type(place.created_index, int)
    assert_type(place.modified_index, int)
    assert_type(place.ttl, float | None)
    assert_type(place.record, Record)
    assert_type(place.read_at, float)
    assert_type(place.seen, tuple[object, ...] | None)
    assert_type(Place.of(record, read_at=1.5), Place)
    assert_type(Place.of(record, seen=(1,)), Place)
    place.path = "/elsewhere"  # type: ignore[misc]


# -- changes -----------------------------------------------------------------------------------------------------------


def each_change(
    created: Created[Node], updated: Updated[Node], deleted: Deleted[Doc], expired: Expired[Doc], invalid: Invalid[Node]
) -> None:
    assert_type((created.path, created.new, created.initial, created.gap), tuple[str, Node, bool, bool])
    assert_type((updated.path, updated.old, updated.new, updated.gap), tuple[str, Node | None, Node, bool])
    assert_type((deleted.path, deleted.old, deleted.gap), tuple[str, Doc | None, bool])
    assert_type((expired.path, expired.old, expired.gap), tuple[str, Doc | None, bool])
    assert_type((invalid.path, invalid.old, invalid.error, invalid.gap), tuple[str, Node | None, DecodeError, bool])
    _ = deleted.new  # type: ignore[attr-defined]
    created.new = Node(name="n1", host="h")  # type: ignore[misc]


def any_change(change: Change[Node]) -> Node | None:
    assert_type(change.path, str)
    assert_type(change.gap, bool)
    _ = change.new  # type: ignore[union-attr]
    return change.new if isinstance(change, Created | Updated) else change.old


# -- errors ------------------------------------------------------------------------------------------------------------

REFUSALS: tuple[type[RefusedError], ...] = (NotFoundError, LeaseLapsedError, AlreadyExistsError, ConflictError)
MISTAKES: tuple[type[UsageError], ...] = (PathError, ModelError, EncodeError)
ALL: tuple[type[EtcdormError], ...] = (
    UnavailableError,
    UnconfirmedError,
    RefusedError,
    DecodeError,
    UsageError,
    HookError,
    LockLostError,
    LockTimeoutError,
    ServerError,
)
OF_PYTHON: tuple[type[ValueError], type[TypeError], type[TimeoutError]] = (UsageError, ModelError, LockTimeoutError)
NO_REFUSAL: type[RefusedError] = UnconfirmedError  # type: ignore[assignment]


def conflicts(conflict: ConflictError) -> None:
    assert_type(conflict.base, BaseModel | None)
    assert_type(conflict.mine, BaseModel | None)
    assert_type(conflict.theirs, BaseModel | None)
    assert_type(conflict.fields, tuple[str, ...])
    assert_type(conflict.clashes, tuple[str, ...])
    if isinstance(conflict.theirs, Node):
        assert_type(conflict.theirs.port, int)


def failures(wrong: DecodeError, newer: NewerVersionError, failure: FieldFailure) -> DecodeError:
    assert_type(wrong.path, str)
    assert_type(wrong.model, str)
    assert_type(wrong.namespace, str)
    assert_type(wrong.failures, tuple[FieldFailure, ...])
    assert_type((failure.key, failure.field, failure.problem, failure.text), tuple[str, str, str, str | None])
    failure.key = "/elsewhere"  # type: ignore[misc]
    assert_type((newer.found, newer.known), tuple[int, int])
    return newer
