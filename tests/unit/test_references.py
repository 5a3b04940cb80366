"""References and includes: whatever is read prints as something that is read as the same."""

from hypothesis import given
from hypothesis import strategies as st

from promptwire.domain import includes
from promptwire.domain.content import Include
from promptwire.domain.names import check_alias, check_prompt_name
from promptwire.domain.references import SCHEME, Reference, parse_reference
from promptwire.domain.template import TemplateError
from promptwire.domain.violations import InvalidValueError

segments = st.text("abzAZ09_.-", min_size=1, max_size=8)
names = st.lists(segments, min_size=1, max_size=4).map("/".join).filter(lambda name: not check_prompt_name(name))
aliases = st.text("abzAZ09_-", min_size=1, max_size=12).filter(lambda alias: not check_alias(alias)) | st.just("latest")
references = st.builds(Reference, names, aliases | st.integers(1, (1 << 63) - 1))
anything = st.text(st.sampled_from("ab/@0129.-_ :{}>\n\té"), max_size=20) | st.text(max_size=10)


@given(references)
def test_a_reference_is_read_as_it_prints_with_and_without_its_scheme(reference: Reference) -> None:
    assert parse_reference(str(reference)) == reference
    assert parse_reference(str(reference).removeprefix(SCHEME)) == reference


@given(st.builds(str.__add__, st.sampled_from(["", SCHEME]), anything))
def test_any_text_is_refused_or_read_as_what_prints_the_same(text: str) -> None:
    try:
        reference = parse_reference(text)
    except InvalidValueError:
        return
    assert parse_reference(str(reference)) == reference
    assert check_prompt_name(reference.name) is None


@given(st.lists(anything.filter(lambda text: "{{>" not in text) | references, max_size=6))
def test_includes_are_found_where_they_stand_and_replaced_by_their_texts(parts: list[str | Reference]) -> None:
    pieces = [f"{{{{> {part} }}}}" if isinstance(part, Reference) else part for part in parts]
    text = "".join(pieces)
    wanted = [part for part in parts if isinstance(part, Reference)]
    try:
        places = list(includes.places_in(text))
    except TemplateError:
        assert text.count("{{>") > len(wanted)  # two texts that together look like one
        return
    if text.count("{{>") > len(wanted):
        return
    assert [place.reference for place in places] == wanted
    for place in places:
        line = text.split("\n")[place.line - 1]
        assert line[place.column - 1 :].startswith("{{>")
    texts = {reference: f"<{reference.name}>" for reference in wanted}
    expected = "".join(texts[part] if isinstance(part, Reference) else part for part in parts)
    assert includes.replaced(text, texts) == expected
    assert len(includes.without(text)) == len(text)
    pins = [Include(reference.name, 7, "") for reference in dict.fromkeys(wanted)]
    again = list(includes.places_in(includes.pinned(text, pins)))
    assert [place.reference for place in again] == [Reference(reference.name, 7) for reference in wanted]


@given(anything)
def test_any_text_is_refused_with_a_place_or_its_includes_are_told(text: str) -> None:
    refused: TemplateError | None = None
    places: list[includes.Place] = []
    try:
        places = list(includes.places_in(text))
    except TemplateError as error:
        refused = error
    if refused:
        assert 1 <= refused.line <= text.count("\n") + 1
        assert refused.column >= 1
    else:
        assert len(places) == text.count("{{>")
