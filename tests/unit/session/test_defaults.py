"""What a session does where a class says nothing."""

from __future__ import annotations

from typing import Any

import pytest

from etcdorm import UsageError, connect


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"layout": "documents"}, r"layout must be one of \('directory', 'document'\), not 'documents'"),
        ({"ttl": 0}, "ttl must be whole seconds, from 1 on, not 0"),
        ({"ttl": True}, "not True"),
        ({"ttl": 1.5}, r"not 1\.5"),
    ],
)
async def test_what_can_be_no_default_is_refused_at_once(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        async with connect("http://127.0.0.1:1", **options):
            pass
