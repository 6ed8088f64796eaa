"""What a save has to change in a record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from etcdorm.mapping.tree import NULL, is_marker


def changes(before: Mapping[str, str], after: Mapping[str, str], stored: Mapping[str, str]) -> dict[str, str | None]:
    """The keys to set, and to delete (None), so that ``stored`` says what ``after`` says.

    ``before`` is what was loaded, in our own words: ``encode(decode(stored))``. Fields in which ``after`` is no other
    are left as they are stored, so that a save rewrites neither a default that etcd has no key for nor another tool's
    spelling (``08080``). In a field that did change, every key is seen to: the default of a map or nested model holds
    only as long as none of its keys are there.
    """
    touched = {_field(key) for key, _ in before.items() ^ after.items()}
    result: dict[str, str | None] = {
        key: text
        for key, text in after.items()
        if before.get(key) != text or (key not in stored and _field(key) in touched)
    }
    for key in stored.keys() - after.keys():
        # A marker that is not in `before` is hidden by keys that another tool set; don't let it come to light.
        if key in before or ("@" in key and is_marker(key) and _field(key) in touched):
            result[key] = None
    # What is gone as a whole, a nested model or an entry of a map, goes with the keys that another version put there.
    gone = _gone(before, after)
    if gone:
        result |= dict.fromkeys(key for key in stored if key.startswith(gone))
    return result


def onto(
    stored: Mapping[str, str], current: Mapping[str, str], changed: Mapping[str, str | None]
) -> dict[str, str | None]:
    """The keys to set, and to delete (None), so that ``stored`` becomes what ``current`` is after these changes."""
    after = {**current, **changed}
    return {key: after.get(key) for key in {**stored, **after} if stored.get(key) != after.get(key)}


def _gone(before: Iterable[str], after: Iterable[str]) -> tuple[str, ...]:
    """The directories, each with a slash at its end, that had keys and have none left."""
    before = [key for key in before if "/" in key]
    if not before:
        return ()
    left = {directory for key in after for directory in _above(key)} | {f"{key}/" for key in after}
    return tuple({directory for key in before for directory in _above(key)} - left)


def _above(key: str) -> list[str]:
    parts = key.removeprefix(f"{NULL}/").split("/")
    return ["/".join(parts[:length]) + "/" for length in range(1, len(parts))]


def _field(key: str) -> str:
    """The segment of the field that a key or marker belongs to."""
    return key.removeprefix(f"{NULL}/").partition("/")[0]
