"""Fencing tokens: a member of a document's JSON, beside those of the model, and what is refused because of them.

In the directory layout the token is in ``@commit``. A document has no other place for it than its own text; there it
stands first, and is taken out before anybody gets to see the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from pydantic_core import from_json

from etcdorm.store.types import FencedRecord, Record

_NAME = '"@fence"'
_FIRST = re.compile(r'\{"@fence":\d+(?:,|(?=\}))')
_OPENING = re.compile(r"\s*\{\s*")


def fence_of(text: str) -> int | None:
    """The token in a document, or None."""
    if _NAME not in text:
        return None
    document = _parsed(text)
    fence = document.get("@fence") if isinstance(document, dict) else None
    return fence if isinstance(fence, int) and not isinstance(fence, bool) else None


def without_fence(text: str) -> str:
    """A document's text as the model knows it."""
    if fence_of(text) is None:
        return text
    if (first := _FIRST.match(text)) is not None:
        return "{" + text[first.end() :]
    document = json.loads(text)  # another tool has put its members into another order
    del document["@fence"]
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def with_fence(text: str, token: int | None) -> str:
    """A document's text with this token in the place of the one it has; what is no JSON object can't have any."""
    text = without_fence(text)
    opening = _OPENING.match(text)
    if token is None or opening is None or not isinstance(_parsed(text), dict):
        return text
    members = text[opening.end() :]
    return f'{{"@fence":{token}{"" if members.startswith("}") else ","}{members}'


def raised(fence: int | None, token: int | None) -> int | None:
    """The fence of a record after a write by the holder of a token."""
    return max((each for each in (fence, token) if each is not None), default=None)


def check(fence: int | None, token: int | None, current: Callable[[], Record | None]) -> None:
    """Raise FencedRecord when the holder of a token may not write to a record with this fence."""
    if fence is not None and token is not None and token < fence:
        raise FencedRecord(current())


def _parsed(text: str) -> object:
    try:
        parsed: object = from_json(text)
    except ValueError:
        return None
    return parsed
