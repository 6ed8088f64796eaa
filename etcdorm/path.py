"""The value type of an etcd path, and the encoding of free text as one segment of it.

A segment that comes out of :func:`encode_segment` can't leave its place: not by ``/``, not by being empty, ``.`` or
``..``, not by hiding itself (etcd v2 hides what starts with ``_``), and not by looking like etcdorm's own bookkeeping
(which starts with ``@``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

from etcdorm.errors import PathError

_SPECIAL = re.compile(r"[%/]|^[_@]|^\.{1,2}\Z")
_ESCAPE = re.compile(r"%([0-9A-F]{2})")
PLAIN = re.compile(r"[0-9A-Za-z][^%/\ud800-\udfff]*")
"""What most texts are like: they stand for themselves, and one look tells."""
_EMPTY = "%"  # every other percent sign is followed by two digits, so a lone one is free to mean ""


def check_text(text: str, what: str) -> None:
    """Raise PathError when ``text`` can't be sent as UTF-8; ``what`` names it in the message."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PathError(f"{what} holds a lone surrogate at position {error.start}, which UTF-8 can't carry") from None


def encode_segment(text: str) -> str:
    """Turn any text into one path segment; :func:`decode_segment` is the inverse.

    Raises: PathError when the text holds a lone surrogate.
    """
    if PLAIN.fullmatch(text):
        return text
    check_text(text, "a key")
    if not text:
        return _EMPTY
    return _SPECIAL.sub(lambda match: "".join(f"%{ord(character):02X}" for character in match[0]), text)


def decode_segment(segment: str) -> str:
    """The text behind a segment.

    Raises: PathError when no text encodes to this segment, as with a stray ``%`` that another tool wrote.
    """
    if PLAIN.fullmatch(segment):
        return segment
    text = "" if segment == _EMPTY else _ESCAPE.sub(lambda match: chr(int(match[1], 16)), segment)
    if encode_segment(text) != segment:
        raise PathError(f"the path segment {segment!r} is not in etcdorm's encoding")
    return text


@dataclass(frozen=True, slots=True)
class Path:
    """An absolute etcd path: its segments as they stand in etcd. ``Path()`` is the root."""

    segments: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Path:
        """Read ``/a/b``; a slash at the end is dropped, as etcd drops it.

        Raises: PathError for a relative path, an empty segment, ``.`` or ``..`` (etcd would answer with a redirect
        instead of doing what was asked), or text that UTF-8 can't carry.
        """
        check_text(text, "the path")
        if not text.startswith("/"):
            raise PathError(f"the path {text!r} must start with '/'")
        path = cls() if text == "/" else cls(tuple(text[1:].removesuffix("/").split("/")))
        for segment in path.segments:
            if segment in ("", ".", ".."):
                raise PathError(f"the path {text!r} has a segment {segment!r}, which etcd does not take")
        return path

    def __str__(self) -> str:
        return "/" + "/".join(self.segments)

    def __truediv__(self, relative: str) -> Path:
        """The path below this one; ``relative`` may have several segments, and "" is this path itself."""
        if not relative:
            return self
        if "/" not in relative and relative.isascii() and relative not in (".", ".."):
            return Path((*self.segments, relative))
        return Path.parse(f"/{relative}") if not self.segments else Path.parse(f"{self}/{relative}")

    @property
    def parent(self) -> Path:
        return Path(self.segments[:-1])

    @property
    def hidden(self) -> bool:
        """Whether etcd v2 leaves this path out of the listings of what is above it."""
        return any(segment.startswith("_") for segment in self.segments)

    @property
    def quoted(self) -> str:
        """The path as it goes into a URL."""
        return _quoted(self.segments)

    def contains(self, other: Path) -> bool:
        """Whether ``other`` is this path or lies below it."""
        return other.segments[: len(self.segments)] == self.segments

    def relative(self, below: Path) -> str:
        """The part of ``below`` under this path, without a leading slash; "" for this path itself.

        Raises: PathError when it does not lie below.
        """
        if not self.contains(below):
            raise PathError(f"{below} does not lie below {self}")
        return "/".join(below.segments[len(self.segments) :])


@lru_cache(maxsize=4096)
def _quoted(segments: tuple[str, ...]) -> str:
    return "/" + "/".join(map(_quoted_segment, segments))


@lru_cache(maxsize=4096)
def _quoted_segment(segment: str) -> str:
    return quote(segment, safe="")
