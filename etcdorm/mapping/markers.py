"""Markers for ``Annotated``, which say how one field lies in etcd."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AsJson:
    """Keep this field as JSON in one key, where its type would be a directory (or plain text) otherwise.

    ``limits: Annotated[Limits, AsJson()]`` is read and written as a whole: ``{"cpu":2,"memory":512}``.
    """
