"""Etcd paths, and free text as one segment of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etcdorm.errors import PathError
from etcdorm.path import Path, decode_segment, encode_segment

quiet = settings(database=None, deadline=None)
texts = st.text(st.characters(exclude_categories=["Cs"]))
paths = st.lists(texts.map(encode_segment), max_size=4).map(lambda segments: Path(tuple(segments)))


@given(texts)
@quiet
def test_any_text_comes_back_from_its_segment(text: str) -> None:
    assert decode_segment(encode_segment(text)) == text


@given(texts)
@quiet
def test_an_encoded_text_can_not_leave_its_place(text: str) -> None:
    segment = encode_segment(text)
    assert "/" not in segment
    assert segment not in ("", ".", "..")
    assert not segment.startswith(("_", "@"))


@given(texts)
@quiet
def test_a_segment_is_decoded_only_if_it_is_the_one_that_the_text_encodes_to(segment: str) -> None:
    try:
        text = decode_segment(segment)
    except PathError:
        return
    assert encode_segment(text) == segment


@pytest.mark.parametrize(
    ("text", "segment"),
    [
        ("eu-west", "eu-west"),
        ("a_b@c", "a_b@c"),
        ("", "%"),
        ("%", "%25"),
        ("a/b", "a%2Fb"),
        ("_x", "%5Fx"),
        ("@x", "%40x"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("...", "..."),
        ("é\n", "é\n"),
    ],
)
def test_only_what_would_do_harm_is_encoded(text: str, segment: str) -> None:
    assert encode_segment(text) == segment


@pytest.mark.parametrize("segment", ["", ".", "a%", "%zz", "%2f", "%61", "_x", "@x", "%5fx", "a/b"])
def test_a_segment_in_no_canonical_encoding_is_refused(segment: str) -> None:
    with pytest.raises(PathError):
        decode_segment(segment)


def test_a_lone_surrogate_can_not_be_encoded() -> None:
    with pytest.raises(PathError, match="lone surrogate at position 1"):
        encode_segment("a\ud800")


@given(paths)
@quiet
def test_a_path_is_read_back_from_its_text(path: Path) -> None:
    assert Path.parse(str(path)) == path


@given(paths, paths)
@quiet
def test_what_is_joined_below_a_path_is_relative_to_it(above: Path, below: Path) -> None:
    relative = "/".join(below.segments)
    joined = above / relative
    assert above.contains(joined)
    assert above.relative(joined) == relative


def test_a_slash_at_the_end_is_dropped() -> None:
    assert Path.parse("/a/b/") == Path.parse("/a/b")
    assert Path.parse("/") == Path()


@pytest.mark.parametrize("text", ["", "a", "//", "/a//b", "/a/./b", "/a/../b", "/\ud800"])
def test_a_text_that_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(PathError):
        Path.parse(text)


def test_a_path_knows_its_parent_and_whether_it_is_hidden() -> None:
    path = Path.parse("/a/_b/c")
    assert str(path.parent) == "/a/_b"
    assert path.hidden
    assert path.parent.hidden
    assert not path.parent.parent.hidden


def test_a_path_contains_itself_and_no_namesake() -> None:
    assert Path.parse("/a").contains(Path.parse("/a"))
    assert not Path.parse("/a").contains(Path.parse("/ab"))
    with pytest.raises(PathError, match="does not lie below"):
        Path.parse("/a").relative(Path.parse("/ab"))


def test_a_path_is_quoted_for_a_url_segment_by_segment() -> None:
    assert Path.parse("/a b/é%2F?").quoted == "/a%20b/%C3%A9%252F%3F"
