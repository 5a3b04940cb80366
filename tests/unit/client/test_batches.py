"""Many prompts in as many calls as their answers take, of one revision all the same."""

import promptwire
from tests.unit.client.fakes import FakeService, Registry

NAMES = ["a@production", "b@production", "a/2", "b/2"]


def test_what_does_not_fit_into_an_answer_is_asked_for_by_itself(target: str, service: FakeService) -> None:
    service.batch_fits = 1
    with promptwire.Client(target) as client:
        assert [(one.name, one.version) for one in client.load_prompts(NAMES)] == [
            ("a", 1),
            ("b", 1),
            ("a", 2),
            ("b", 2),
        ]
    asked = [list(request.references) for request in service.asked("BatchResolve")]
    assert asked == [NAMES, NAMES[1:], NAMES[2:], NAMES[3:]]


def test_answers_of_several_revisions_are_asked_for_again_with_what_is_held(
    target: str, service: FakeService, registry: Registry
) -> None:
    """A release lands between the first answer and the second: nobody gets half of it."""
    service.batch_fits = 1

    def release() -> None:
        if registry.prompts["a"].aliases["production"] == 1:
            registry.alias("a", "production", 2)
            registry.alias("b", "production", 2)

    service.between_batches = release
    with promptwire.Client(target) as client:
        loaded = client.load_prompts(["a@production", "b@production"])
    assert [(one.name, one.version) for one in loaded] == [("a", 2), ("b", 2)]
    assert [one.aliases for one in loaded] == [("production",)] * 2
    first, rest, *again = service.asked("BatchResolve")
    assert (list(first.held), list(rest.held)) == ([], [])
    assert rest.read.min_revision.number > 0
    assert len(again[0].held) == 2, "what came already is not sent again"
