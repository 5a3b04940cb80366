"""What a table knows, for whoever needs it later: values only, so that writing them down needs no lock."""

from collections.abc import Sequence
from dataclasses import dataclass

from promptwire._core.followed import Followed, Record
from promptwire._core.lease import Lease
from promptwire._core.split_alias import SplitAlias
from promptwire.domain.references import Selector
from promptwire.prompt_version import PromptVersion
from promptwire.values import Revision


@dataclass(frozen=True, slots=True)
class ExportedPrompt:
    """One prompt."""

    name: str
    record: Record | None
    """None when there is no such prompt."""
    bodies: Sequence[PromptVersion]
    selectors: Sequence[Selector]
    confirmed_at: float
    """By the clock."""


@dataclass(frozen=True, slots=True)
class Exported:
    """The table as pushes have told it, at a position."""

    position: Revision
    prompts: Sequence[ExportedPrompt]


def exported(followed: Followed, shared: Lease) -> ExportedPrompt:
    """Guarded by the live table's lock."""
    known = [(item, item.value) for item in followed.items.values() if item.value is not None]
    confirmed_at = min((item.lease.confirmed_at for item, _ in known), default=shared.confirmed_at)
    bodies = {value.version: value for _, value in known if isinstance(value, PromptVersion)}
    for _, value in known:
        if isinstance(value, SplitAlias):
            pushed = {one: followed.bodies[one].value for one in value.split.versions if one in followed.bodies}
            bodies = pushed | bodies
    selectors = [item.selector for item, _ in known]
    return ExportedPrompt(followed.name, followed.record, list(bodies.values()), selectors, confirmed_at)
