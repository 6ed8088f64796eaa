"""Path templates: what they take, and that ``match`` is the inverse of ``format``."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from etcdorm.errors import ModelError, PathError
from etcdorm.mapping.template import Template
from etcdorm.path import Path
from tests.unit.mapping.generated import quiet, texts

literals = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/{}"), max_size=4)


@st.composite
def templates(draw: st.DrawFn) -> Template:
    """Any mixture of literal segments and fields, with literal parts around them."""
    names = draw(st.lists(st.sampled_from("abcdef"), unique=True, max_size=4))
    parts = [draw(literals) + "{" + name + "}" + draw(literals) for name in names]
    parts += draw(st.lists(literals.filter(lambda text: text not in ("", ".", "..")), min_size=not names, max_size=3))
    parts = draw(st.permutations(parts))
    assume(not any(part.startswith(("@", "_")) for part in parts))
    return Template.parse("/" + "/".join(parts))


@given(st.data(), templates())
@quiet
def test_match_gives_back_any_texts_that_format_took(data: st.DataObject, template: Template) -> None:
    keys = data.draw(st.fixed_dictionaries(dict.fromkeys(template.fields, texts)))
    path = template.format(keys)
    assert template.match(path) == keys
    assert Path.parse(str(path)) == path
    assert not path.hidden


@given(st.data(), templates())
@quiet
def test_a_collection_takes_the_records_with_the_given_keys_alone(data: st.DataObject, template: Template) -> None:
    records = st.fixed_dictionaries(dict.fromkeys(template.fields, texts))
    one, other = data.draw(records), data.draw(records)
    given_fields = data.draw(st.sets(st.sampled_from(template.fields))) if template.fields else set()
    wanted = {name: one[name] for name in given_fields}
    collection = template.collection(wanted)
    assert collection.matches(template.format(one))
    assert collection.matches(template.format(other)) == (wanted.items() <= other.items())
    assert collection.prefix.contains(template.format(one))
    assert collection.depth == len(template.format(one).segments)


@given(templates(), st.lists(literals, max_size=6).map(lambda parts: Path(tuple(parts))))
@quiet
def test_a_path_that_matches_is_the_one_that_format_makes(template: Template, path: Path) -> None:
    keys = template.match(path)
    assert keys is None or template.format(keys) == path


def test_a_template_formats_and_matches_several_fields() -> None:
    template = Template.parse("/dc/{dc}/nodes/node-{name}.cfg")
    path = template.format({"dc": "eu/west", "name": ""})
    assert str(path) == "/dc/eu%2Fwest/nodes/node-%.cfg"
    assert template.match(path) == {"dc": "eu/west", "name": ""}
    assert template.fields == ("dc", "name")


@pytest.mark.parametrize(
    "path",
    [
        "/nodes",
        "/nodes/a/b",
        "/other/node-a-x",
        "/nodes/node-",
        "/nodes/node-x",  # the start and the end of the literal overlap
        "/nodes/node--x",  # nothing between them: even an empty text has a segment of its own, "%"
        "/nodes/node-%zz-x",
        "/nodes/node-%61-x",  # "a", needlessly encoded
    ],
)
def test_a_path_of_another_form_does_not_match(path: str) -> None:
    assert Template.parse("/nodes/node-{name}-x").match(Path.parse(path)) is None


def test_leading_keys_narrow_the_prefix_and_later_ones_filter() -> None:
    template = Template.parse("/dc/{dc}/rack/{rack}/{name}")
    assert str(template.prefix) == "/dc"
    assert str(template.collection({"dc": "eu"}).prefix) == "/dc/eu/rack"
    assert str(template.collection({"rack": "7"}).prefix) == "/dc"
    assert str(template.collection({"dc": "eu", "name": "n"}).prefix) == "/dc/eu/rack"
    assert not template.collection({"rack": "7"}).matches(Path.parse("/dc/eu/rack/8/n"))


def test_a_template_without_fields_is_one_record() -> None:
    template = Template.parse("/config/app")
    assert template.format({}) == Path.parse("/config/app")
    assert template.match(Path.parse("/config/app")) == {}
    assert template.collection({}).prefix == Path.parse("/config/app")


def test_a_hidden_prefix_before_the_first_field_is_allowed() -> None:
    assert Template.parse("/_internal/{name}").format({"name": "a"}).hidden


@given(st.integers(min_value=0, max_value=10**30), st.integers(min_value=1, max_value=25), literals, literals)
@quiet
def test_a_padded_number_comes_back_and_is_in_order(number: int, width: int, start: str, end: str) -> None:
    assume(not start.startswith(("@", "_")))
    template = Template.parse(f"/{start}{{number:0{width}}}{end}")
    paths = [template.format({"number": str(each)}) for each in (number, number + 1)]
    assert [template.match(path) for path in paths] == [{"number": str(number)}, {"number": str(number + 1)}]
    if number + 1 < 10**width:
        assert str(paths[0]) < str(paths[1])


@pytest.mark.parametrize("text", ["", "-1", "+1", "01", "1.0", "a", "1_0", "٣", " 1", "1\n"])
def test_only_a_whole_number_in_its_shortest_form_is_padded(text: str) -> None:
    with pytest.raises(PathError, match="number is padded with zeros"):
        Template.parse("/{number:04}").format({"number": text})


@pytest.mark.parametrize("segment", ["7", "007", "00007", "012345", "-007", "000a", "٠٠٠٧", ""])
def test_a_number_of_another_width_does_not_match(segment: str) -> None:
    assert Template.parse("/n/{number:04}").match(Path(("n", segment))) is None


@pytest.mark.parametrize(
    ("text", "sequential"),
    [("/events/{id}", "id"), ("/events/e-{id}", None), ("/events/{id}x", None), ("/{id}/events", None), ("/e", None)],
)
def test_only_a_field_that_is_the_whole_last_segment_may_be_made_by_a_server(text: str, sequential: str | None) -> None:
    last = Template.parse(text).sequential
    assert (last and last.field) == sequential


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "start with"),
        ("nodes/{name}", "start with"),
        ("/", "empty segment"),
        ("/nodes//{name}", "empty segment"),
        ("/nodes/{name}/", "empty segment"),
        ("/nodes/./{name}", "segment '.'"),
        ("/nodes/../{name}", "segment '..'"),
        ("/nodes/\ud800/{name}", "lone surrogate"),
        ("/nodes/{name}/{name}", "twice"),
        ("/nodes/{name", "pair up"),
        ("/nodes/name}", "pair up"),
        ("/nodes/}name{", "pair up"),
        ("/nodes/{{name}}", "two fields"),
        ("/nodes/{dc}{name}", "two fields"),
        ("/nodes/{dc}-{name}", "two fields"),
        ("/nodes/{name:}", "must be like 08"),
        ("/nodes/{name:8}", "must be like 08"),
        ("/nodes/{name:00}", "must be like 08"),
        ("/nodes/{name:08d}", "must be like 08"),
        ("/nodes/{:08}", "not the name"),
        ("/nodes/{}", "not the name"),
        ("/nodes/{a b}", "not the name"),
        ("/nodes/{0}", "not the name"),
        ("/@nodes/{name}", "'@'"),
        ("/nodes/@{name}", "'@'"),
        ("/nodes/{dc}/_hidden/{name}", "hides"),
        ("/nodes/{name}/_hidden", "hides"),
        ("/nodes/_{name}", "hides"),
    ],
)
def test_a_text_that_can_be_no_template_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        Template.parse(text)
