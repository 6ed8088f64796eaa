"""A record's flat keys as a tree, and etcdorm's own names in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

NULL: Final = "@null"
"""The directory of markers for None: ``@null/port`` says that ``port`` is None, where its absence would not."""

EMPTY: Final = "@empty"
"""The marker in a map or nested model that is there, but has no keys: ``labels/@empty``."""

SCHEMA: Final = "@schema"
"""The key of a record, or the member of a document, with the version of the class that wrote it; absent, it is 1."""


@dataclass(slots=True)
class Tree:
    """One relative key, with its text if it holds one, and the keys below it."""

    key: str
    text: str | None = field(default=None, repr=False)
    children: dict[str, Tree] = field(default_factory=dict)

    @classmethod
    def grow(cls, fields: Mapping[str, str]) -> Tree:
        root = cls("")
        for key, text in fields.items():
            node = root
            for segment in key.split("/"):
                node = node._child(segment)
            node.text = text
        return root

    def _child(self, segment: str) -> Tree:
        child = self.children.get(segment)
        if child is None:
            child = self.children[segment] = Tree(join(self.key, segment))
        return child

    @property
    def nulls(self) -> Mapping[str, Tree]:
        """The children that a marker says are None."""
        markers = self.children.get(NULL)
        return markers.children if markers else {}


def join(*parts: str) -> str:
    """A relative key; the root's own key is ""."""
    return "/".join([part for part in parts if part])


def is_marker(key: str) -> bool:
    """Whether etcdorm alone writes this key: no encoded text starts with ``@``."""
    return any(segment.startswith("@") for segment in key.split("/"))
