"""Path templates: ``/dc/{dc}/nodes/{name}`` formats key texts to a path, and matches a path back to them.

``{number:08}`` pads a whole number with zeros, so that the order of paths is that of numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from etcdorm.errors import ModelError, PathError
from etcdorm.path import PLAIN, Path, decode_segment, encode_segment
from etcdorm.store.types import Collection

_FIELD = re.compile(r"([^{}]*)\{([^{}:]*)(?::([^{}]*))?\}([^{}]*)")
_WIDTH = re.compile(r"0([1-9][0-9]?)")
_NUMBER = re.compile(r"0|[1-9][0-9]*")

MADE_WIDTH = 20
"""Digits of a segment that etcd makes up when a record is appended."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """A segment that is the same in every path."""

    text: str


@dataclass(frozen=True, slots=True)
class Slot:
    """A segment that holds one field, between a literal start and end (mostly empty, both).

    With a ``width`` the field is a whole number from 0 on, padded with zeros to so many digits.
    """

    field: str
    start: str = ""
    end: str = ""
    width: int = 0

    def format(self, text: str) -> str:
        return f"{self.start}{self._padded(text) if self.width else encode_segment(text)}{self.end}"

    def match(self, segment: str) -> str | None:
        inner = segment
        if self.start or self.end:
            if not (segment.startswith(self.start) and segment.endswith(self.end)):
                return None
            inner = segment[len(self.start) : len(segment) - len(self.end)]
        try:  # "ab" starts with "ab" and ends with "b", but no text is encoded as the nothing that is left
            if not self.width:
                return decode_segment(inner)
            text = inner.lstrip("0") or "0"
            return text if self._padded(text) == inner else None
        except PathError:
            return None

    def _padded(self, text: str) -> str:
        if not _NUMBER.fullmatch(text):
            raise PathError(f"{self.field} is padded with zeros in the path, so it must be a whole number from 0 on")
        return text.zfill(self.width)


@dataclass(frozen=True)
class Template:
    """A parsed template. ``match`` is the exact inverse of ``format``: one text per path, one path per text."""

    text: str
    segments: tuple[Fixed | Slot, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read ``/dc/{dc}/nodes/node-{name}``: at most one field in a segment, each field once.

        Raises: ModelError for a text that can't be a template, with the reason.
        """
        if not text.startswith("/"):
            raise _refusal(text, "it must start with '/'")
        segments: list[Fixed | Slot] = []
        fields: set[str] = set()
        for part in text[1:].split("/"):
            segment = _parse_segment(text, part)
            if isinstance(segment, Slot):
                if segment.field in fields:
                    raise _refusal(text, f"the field {segment.field!r} stands in it twice")
                fields.add(segment.field)
            if fields and part.startswith("_"):
                raise _refusal(text, f"{part!r} starts with '_', which hides it, and the records, from every listing")
            segments.append(segment)
        return cls(text, tuple(segments))

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields, in the order of the path."""
        return tuple(segment.field for segment in self.segments if isinstance(segment, Slot))

    @cached_property
    def _literal(self) -> list[str]:
        """The segments, with nothing in the place of the fields."""
        return [each.text if isinstance(each, Fixed) else "" for each in self.segments]

    @cached_property
    def _slots(self) -> list[tuple[int, Slot, bool]]:
        """Where each is, and whether its segment is nothing but the field's text, encoded."""
        slots = [(at, each) for at, each in enumerate(self.segments) if isinstance(each, Slot)]
        return [(at, each, not (each.start or each.end or each.width)) for at, each in slots]

    @cached_property
    def prefix(self) -> Path:
        """The literal part before the first field."""
        return self.collection({}).prefix

    @property
    def sequential(self) -> Slot | None:
        """The last segment if it is a field and nothing else, so that a server may make it."""
        last = self.segments[-1]
        return last if isinstance(last, Slot) and not (last.start or last.end) else None

    def format(self, texts: Mapping[str, str]) -> Path:
        """The path of the record with these key texts; any text will do, as each is encoded.

        Raises: PathError when a text holds a lone surrogate.
        """
        segments = self._literal.copy()
        for at, slot, _ in self._slots:
            segments[at] = slot.format(texts[slot.field])
        return Path(tuple(segments))

    def match(self, path: Path) -> dict[str, str] | None:
        """The key texts that ``format`` makes ``path`` of, or None when there are none."""
        segments = path.segments
        if len(segments) != len(self.segments):
            return None
        texts: dict[str, str] = {}
        literal = list(segments)
        for at, slot, is_whole in self._slots:
            segment, literal[at] = literal[at], ""
            # Most segments are plain texts, and a listing has many.
            text = segment if is_whole and PLAIN.fullmatch(segment) else slot.match(segment)
            if text is None:
                return None
            texts[slot.field] = text
        return texts if literal == self._literal else None

    def collection(self, texts: Mapping[str, str]) -> Collection:
        """The records that have these key texts, below the longest prefix that the leading ones give."""
        known: list[str] = []
        for segment in self.segments:
            if isinstance(segment, Slot) and segment.field not in texts:
                break
            known.append(segment.text if isinstance(segment, Fixed) else segment.format(texts[segment.field]))

        def matches(path: Path) -> bool:
            found = self.match(path)
            return found is not None and (not texts or found.items() >= texts.items())

        rest = self.segments[len(known) :]
        fixed = tuple(segment.text if isinstance(segment, Fixed) else None for segment in rest)
        return Collection(Path(tuple(known)), len(self.segments), matches, fixed)


def _parse_segment(template: str, part: str) -> Fixed | Slot:
    if not part:
        raise _refusal(template, "it has an empty segment")
    if part.startswith("@"):
        raise _refusal(template, f"{part!r} starts with '@', which is kept for etcdorm's own keys")
    if "{" in part or "}" in part:
        return _parse_slot(template, part)
    try:
        Path.parse(f"/{part}")
    except PathError as error:
        raise _refusal(template, str(error)) from None
    return Fixed(part)


def _parse_slot(template: str, part: str) -> Slot:
    if part.count("{") > 1 and part.count("{") == part.count("}"):
        raise _refusal(template, f"the segment {part!r} has two fields; put a '/' between them")
    found = _FIELD.fullmatch(part)
    if found is None:
        raise _refusal(template, f"the braces in {part!r} don't pair up")
    start, field, width, end = found.groups()
    if not field.isidentifier():
        raise _refusal(template, f"{field!r} in {part!r} is not the name of a field")
    if width is None:
        return Slot(field, start, end)
    digits = _WIDTH.fullmatch(width)
    if digits is None:
        raise _refusal(template, f"{width!r} in {part!r} must be like 08, for a number of eight digits or more")
    return Slot(field, start, end, int(digits[1]))


def _refusal(template: str, why: str) -> ModelError:
    return ModelError(f"the path {template!r} can't be a template: {why}")
