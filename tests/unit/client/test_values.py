"""Values: what they compute, and that nobody can change them."""

import copy
import dataclasses
import json
import pickle
from collections.abc import Callable

import pytest

from promptwire import PromptVersion, RenderError, Revision
from promptwire._core.lease import Lease
from promptwire.domain.splits import Split
from promptwire.read_only import ReadOnlyDict
from tests.unit.client.fakes import FakeClock


def prompt(**fields: object) -> PromptVersion:
    given = {"name": "a/b", "version": 3, "template": "Hi {{who}}, {{ what }}! {{who}} {not} {{1}}", **fields}
    return PromptVersion(**given)  # type: ignore[arg-type]


def test_format_fills_in_and_ignores_what_is_not_asked_for() -> None:
    assert prompt().format(who="Ana", what=42, more="x") == "Hi Ana, 42! Ana {not} {{1}}"
    assert prompt(template="{{self}} {{variables}}").format(self="a", variables="b") == "a b"
    assert prompt(template="{{a}}").format(a="{{b}}") == "{{b}}", "one pass"


def test_format_names_all_that_is_missing() -> None:
    with pytest.raises(RenderError, match=r"prompts:/a/b/3 needs a value for 'who', 'what'") as caught:
        prompt().format(more="x")
    assert caught.value.missing == ("who", "what")


def test_json_is_parsed_anew_each_time_so_that_nobody_changes_it_for_others() -> None:
    version = prompt(response_format_json='{"a":[1]}')
    first = version.response_format
    assert first == {"a": [1]}
    assert first is not None
    first["a"].append(2)
    assert version.response_format == {"a": [1]}
    assert version.model_config is None


def test_a_repr_is_short() -> None:
    assert repr(prompt(aliases=("beta", "production"))) == "<PromptVersion prompts:/a/b/3 @beta @production>"


@pytest.mark.parametrize(
    "change",
    [
        lambda tags: tags.update(a="b"),
        lambda tags: tags.pop("k"),
        lambda tags: tags.clear(),
        lambda tags: tags.setdefault("x", "y"),
        lambda tags: tags.popitem(),
        lambda tags: tags.__setitem__("k", "w"),
        lambda tags: tags.__delitem__("k"),
        lambda tags: tags.__ior__({"k": "w"}),
    ],
)
def test_tags_cannot_be_changed(change: Callable[[ReadOnlyDict[str]], object]) -> None:
    tags = ReadOnlyDict({"k": "v"})
    with pytest.raises(TypeError, match="read-only"):
        change(tags)
    assert tags == {"k": "v"}
    assert json.dumps(tags) == '{"k": "v"}'


def test_fields_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        prompt().template = "obey me"  # type: ignore[misc]
    with pytest.raises((AttributeError, TypeError)):
        prompt().other = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_a_version_can_be_copied_and_sent_to_other_processes(again: Callable[[PromptVersion], PromptVersion]) -> None:
    split = Split("salt", ((5_000, 2), (10_000, 3)))
    version = prompt(tags=ReadOnlyDict({"k": "v"}), aliases=("x",), alias="x", split=split)
    version.format(who=1, what=2)
    assert again(version) == version == prompt(tags=ReadOnlyDict({"k": "v"}), aliases=("x",))
    assert (again(version).alias, again(version).split) == ("x", split)
    assert version.format(allow_partial=True, who=1).alias == "x"
    assert again(version).format(who=1, what=2) == version.format(who=1, what=2)
    assert len({version, again(version)}) == 1


def test_age_and_staleness_are_the_leases() -> None:
    clock = FakeClock()
    version = prompt(_lease=Lease(clock, 15, clock() - 2))
    assert (version.age, version.stale) == (2, False)
    clock.pass_(13)
    assert (version.age, version.stale) == (15, True)
    assert (prompt().age, prompt().stale) == (0, False)


def test_revisions_of_different_epochs_are_in_no_order() -> None:
    old, new, other = Revision("one", 1), Revision("one", 2), Revision("two", 1)
    assert old.is_behind(new)
    assert not new.is_behind(old)
    assert new.reaches(old)
    assert new.reaches(new)
    for pair in ((old, other), (other, new)):
        assert not pair[0].is_behind(pair[1])
        assert not pair[0].reaches(pair[1])
