"""How a rule says no: the field, the rule, and the shape of the value, never the whole value."""

from dataclasses import dataclass

_SHOWN_CHARS = 40


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that breaks one rule."""

    field: str
    description: str

    def __str__(self) -> str:
        return f"{self.field}: {self.description}"


class InvalidValueError(ValueError):
    """A value breaks its rule; `violation` says which and how."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(str(violation))
        self.violation = violation


def shown(value: object) -> str:
    """Returns a value as an error shows it. Python itself refuses to write an integer of over 4,300 digits."""
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length():,} bits"
    try:
        return f"{value!r:.80}"
    except Exception:  # whatever a caller's own class does
        return f"a {type(value).__name__}"


def shape(value: str) -> str:
    """`'abc'` for a short value, `'aaaa...' (300 characters)` for a long one."""
    if len(value) <= _SHOWN_CHARS:
        return repr(value)
    return f"{value[:_SHOWN_CHARS] + '...'!r} ({len(value):,} characters)"
