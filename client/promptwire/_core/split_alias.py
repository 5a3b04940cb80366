"""What a split alias means: not one version, but one for each key."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from promptwire.domain.references import SCHEME
from promptwire.domain.splits import Split
from promptwire.prompt_version import PromptVersion

if TYPE_CHECKING:
    from promptwire._core.lease import Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitAlias:
    """Stands where the version of another alias would: known, pushed and leased like one, but never handed out.

    A key's version is loaded by its number, so whatever holds for a load by number holds for it.
    """

    name: str
    alias: str
    split: Split
    _lease: "Lease | None" = field(default=None, compare=False)
    version: ClassVar[int] = 0

    @property
    def uri(self) -> str:
        return f"{SCHEME}{self.name}@{self.alias}"

    @property
    def age(self) -> float:
        """As PromptVersion's."""
        return self._lease.age if self._lease else 0.0

    @property
    def stale(self) -> bool:
        """As PromptVersion's."""
        return self._lease.stale if self._lease else False

    def reference(self, version: int) -> str:
        return f"{SCHEME}{self.name}/{version}"

    def references(self) -> list[str]:
        """To all versions that it may lead to."""
        return [self.reference(version) for version in self.split.versions]


Meaning = PromptVersion | SplitAlias
"""What a reference means."""
