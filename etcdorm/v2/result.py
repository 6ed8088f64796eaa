"""What a request of the v2 API answered, under the API's own names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, NotRequired, Required, TypedDict


class Node(TypedDict, total=False):
    """A node as it stands in the JSON of the API. The root has neither key nor indexes."""

    key: str
    value: str
    dir: bool
    ttl: int
    expiration: str
    createdIndex: int
    modifiedIndex: int
    nodes: list[Node]


class Body(TypedDict):
    """The JSON of a successful answer."""

    action: Required[str]
    node: NotRequired[Node]
    prevNode: NotRequired[Node]


class EtcdResult:
    """One answer, or one node of a directory in it.

    ``etcd_index`` and ``raft_index`` come from the headers: where the store stood when it answered.
    """

    __slots__ = ("_node", "_prev", "action", "etcd_index", "newKey", "raft_index", "value")

    def __init__(
        self,
        action: str,
        node: Node,
        *,
        prev: Node | None = None,
        etcd_index: int = 0,
        raft_index: int = 0,
        new: bool = False,
    ) -> None:
        self.action: str = action
        self.value: str | None = node.get("value")
        self.newKey: bool = new
        self.etcd_index: int = etcd_index
        self.raft_index: int = raft_index
        self._node = node
        self._prev = prev

    @property
    def node(self) -> Node:
        """The node as the server wrote it, with everything below it."""
        return self._node

    @property
    def key(self) -> str:
        return self._node.get("key", "/")

    @property
    def dir(self) -> bool:
        return self._node.get("dir", False)

    @property
    def ttl(self) -> int | None:
        """Whole seconds left when the server answered; None when the key has no TTL, or is past its end."""
        return self._node.get("ttl")

    @property
    def expiration(self) -> str | None:
        """The end of the TTL by the server's clock, as it wrote it."""
        return self._node.get("expiration")

    @property
    def createdIndex(self) -> int:
        return self._node.get("createdIndex", 0)

    @property
    def modifiedIndex(self) -> int:
        return self._node.get("modifiedIndex", 0)

    @property
    def prev_node(self) -> EtcdResult | None:
        """What a write replaced or removed."""
        return None if self._prev is None else self._with(self._prev)

    @property
    def children(self) -> Iterator[EtcdResult]:
        """What has nothing below it in this answer; for a key, the key itself.

        So these are the nodes directly in a directory that was read without ``recursive``, sub-directories too, and
        with it all keys and empty directories below. ``next(directory.children)`` is the first.
        """
        nodes = self._node.get("nodes", [])
        if not nodes and not self.dir:
            yield self
        for node in nodes:
            child = self._with(node)
            yield from child.children if node.get("nodes") else (child,)

    @property
    def leaves(self) -> Iterator[EtcdResult]:
        """All keys below, directories left out."""
        return self.get_subtree(leaves_only=True)

    def get_subtree(self, leaves_only: bool = False) -> Iterator[EtcdResult]:
        """This node and all below it, as far as the answer holds them."""
        nodes = self._node.get("nodes", [])
        if not (leaves_only and self.dir):
            yield self
        for node in nodes:
            yield from self._with(node).get_subtree(leaves_only)

    def _with(self, node: Node) -> EtcdResult:
        return EtcdResult(self.action, node, etcd_index=self.etcd_index, raft_index=self.raft_index)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EtcdResult):
            return NotImplemented
        return self._facts() == other._facts()

    def _facts(self) -> tuple[object, ...]:
        """What makes two results equal: all about the node itself, neither what led to it nor what lies below it."""
        times = (self.ttl, self.expiration, self.createdIndex, self.modifiedIndex)
        return (self.key, self.value, self.dir, self.newKey, *times)

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # its value can be set, as python-aio-etcd's can

    def __repr__(self) -> str:
        # Without the value: it may be a secret, and a repr ends in logs.
        return f"<EtcdResult {self.action} {self.key} modifiedIndex={self.modifiedIndex}{' dir' if self.dir else ''}>"


def from_body(body: Body, *, etcd_index: int, raft_index: int, new: bool) -> EtcdResult:
    return EtcdResult(
        body["action"],
        body.get("node", Node()),
        prev=body.get("prevNode"),
        etcd_index=etcd_index,
        raft_index=raft_index,
        new=new,
    )
