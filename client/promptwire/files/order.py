"""What is included comes before what includes it."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from promptwire.domain import includes
from promptwire.domain.content import Content
from promptwire.domain.references import Reference
from promptwire.domain.template import TemplateError
from promptwire.domain.templates import texts_of
from promptwire.domain.violations import InvalidValueError

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)


def references_of(content: Content) -> list[Reference]:
    """What a content that is as it was written includes; nothing for one that cannot be read, which others tell."""
    try:
        return [place.reference for _, text in texts_of(content) for place in includes.places_in(text)]
    except (InvalidValueError, TemplateError):
        return []


def in_order(items: Sequence[Item], key: Callable[[Item], Key], after: Callable[[Item], Iterable[Key]]) -> list[Item]:
    """In the order that they have, but for those that others come after. A circle is left as it is."""
    by_key = {key(item): item for item in items}
    ordered: dict[Key, Item] = {}
    begun: set[Key] = set()
    for start in by_key:
        # Without recursion: a chain may be as long as a prompt has versions.
        stack = [(start, False)]
        while stack:
            one, done = stack.pop()
            if done:
                ordered[one] = by_key[one]
            elif one not in begun:
                begun.add(one)
                stack.append((one, True))
                stack += [(other, False) for other in after(by_key[one]) if other in by_key and other not in begun]
    return list(ordered.values())
