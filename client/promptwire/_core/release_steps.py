"""The steps of a release as messages."""

from collections.abc import Iterable, Iterator, Mapping

from promptwire._core import checks
from promptwire.domain.references import parse_reference
from promptwire.domain.violations import InvalidValueError, shape
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire.values import Move, Register
from promptwire.wire import content_message


def steps_of(steps: Mapping[str, int | None] | Iterable[Register | Move]) -> list[pb.ReleaseStep]:
    """Raises InvalidArgumentError, naming the step."""
    if isinstance(steps, Mapping):
        return [_step(step, "steps") for step in _moves(steps)]
    return [_step(step, f"steps[{index}]") for index, step in enumerate(checks.several(steps, "steps"))]


def _moves(steps: Mapping[str, int | None]) -> Iterator[Move]:
    for written, version in steps.items():
        try:
            parsed = parse_reference(checks.text(written, "steps"), "steps")
        except InvalidValueError as error:
            raise checks.invalid(error.violation.field, error.violation.description) from error
        if isinstance(parsed.selector, int) or "@" not in written:
            raise checks.invalid("steps", f"must have name@alias as its keys; got {shape(written)}")
        yield Move(name=parsed.name, alias=parsed.selector, version=version)


def _step(step: object, field: str) -> pb.ReleaseStep:
    match step:
        case Register():
            content = checks.content(step.template, step.response_format, step.model_config, step.syntax, f"{field}.")
            registration = pb.RegisterStep(
                name=checks.text(step.name, f"{field}.name"),
                content=content_message(content),
                commit_message=checks.optional_text(step.commit_message, f"{field}.commit_message"),
                tags={} if step.tags is None else checks.tags(step.tags, f"{field}.tags"),
                aliases=checks.texts(step.aliases, f"{field}.aliases"),
                expected_latest_version=checks.optional_number(
                    step.expected_latest_version, f"{field}.expected_latest_version", least=0
                ),
            )
            return pb.ReleaseStep(register=registration)
        case Move(version=None):
            removal = pb.RemoveStep(
                name=checks.text(step.name, f"{field}.name"),
                alias=checks.text(step.alias, f"{field}.alias"),
                expected_version=checks.optional_number(step.expected_version, f"{field}.expected_version"),
            )
            return pb.ReleaseStep(remove=removal)
        case Move():
            move = pb.MoveStep(
                name=checks.text(step.name, f"{field}.name"),
                alias=checks.text(step.alias, f"{field}.alias"),
                version=checks.number(step.version, f"{field}.version"),
                expected_version=checks.optional_number(step.expected_version, f"{field}.expected_version", least=0),
            )
            return pb.ReleaseStep(move=move)
    raise checks.invalid(field, f"must be a promptwire.Register or promptwire.Move; got {type(step).__name__}")
