"""The fencing token in a document's text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcdorm.v2.protocol.fence import fence_of, with_fence, without_fence

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='@fence":{}\\ 1'),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["@fence", "a", "b"]), inner),
    max_leaves=8,
)


@given(document=st.dictionaries(st.sampled_from(["a", "b", "@fenced", ""]), JSON), token=st.integers(1, 10**12))
def test_a_token_goes_into_any_document_and_comes_out_again(document: dict[str, object], token: int) -> None:
    for text in (json.dumps(document), json.dumps(document, indent=1)):
        fenced = with_fence(text, token)
        assert (json.loads(fenced), fence_of(fenced)) == ({"@fence": token, **document}, token)
        assert (json.loads(without_fence(fenced)), fence_of(without_fence(fenced))) == (document, None)
        assert with_fence(without_fence(fenced), token) == fenced
        assert with_fence(fenced, token + 1) == with_fence(text, token + 1)


def test_a_token_is_found_where_another_tool_has_put_it() -> None:
    text = '{ "a": "\\"@fence\\":9", "@fence" : 7, "b": {"@fence": 8} }'
    assert fence_of(text) == 7
    assert json.loads(without_fence(text)) == {"a": '"@fence":9', "b": {"@fence": 8}}
    assert with_fence(text, 10) == '{"@fence":10,"a":"\\"@fence\\":9","b":{"@fence":8}}'


@pytest.mark.parametrize("text", ["", "text", "[1]", '{"a":', '"@fence":1', '["@fence"]', '{"@fence":true}'])
def test_what_is_no_object_with_a_token_has_none(text: str) -> None:
    assert (fence_of(text), without_fence(text)) == (None, text)
    if not text.endswith("}"):
        assert with_fence(text, 5) == text
