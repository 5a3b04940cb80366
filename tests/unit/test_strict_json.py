"""JSON that every parser reads alike: what is taken, what is refused, and that a text costs no more than its size."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptwire.domain.strict_json import DEPTH_MAX, VALUES_MAX, InvalidJsonError, compact_json, parse_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_what_is_taken_is_what_json_means(value: Any, ascii_only: bool, indent: int | None) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=ascii_only, indent=indent)) == value


@given(VALUES)
def test_the_form_that_is_kept_is_written_the_same_again(value: Any) -> None:
    kept = compact_json(value)
    assert compact_json(parse_json(kept)) == kept


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("NaN", "NaN is not JSON"),
        ("[-Infinity]", "-Infinity is not JSON"),
        ('{"temperature": 1e999}', "too large for a 64-bit float: 1e999"),
        ("-1" + "0" * 400 + ".0", "too large"),
        ("18446744073709551616", "from -2^63 to 2^64 - 1"),
        ("-9223372036854775809", "from -2^63 to 2^64 - 1"),
        ("9" * 5_000, "5,000 characters"),
        ('{"a": 1, "b": {"c": 2, "\\u0063": 3}}', "a key is given twice: 'c'"),
        ('"\\ud800"', "half of a surrogate pair"),
        ('{"\\udc00": 1}', "half of a surrogate pair"),
        ("[" * (DEPTH_MAX + 1) + "]" * (DEPTH_MAX + 1), f"over {DEPTH_MAX} deep"),
        ('{"a":' * (DEPTH_MAX + 1) + "1" + "}" * (DEPTH_MAX + 1), f"over {DEPTH_MAX} deep"),
        ("[" * 1_000_000, "values"),
        ("[" + "0," * VALUES_MAX + "0]", f"over {VALUES_MAX:,} values"),
        ('"",' * 300_000, "values"),
        ('"' + "\\" * 1_000_001, "Unterminated string"),
        ("", "Expecting value"),
        ("\ufeff{}", "BOM"),
        ('"\x00"', "Invalid control character"),
        ("[1] 2", "Extra data"),
    ],
)
def test_what_parsers_do_not_agree_on_is_refused(text: str, says: str) -> None:
    with pytest.raises(InvalidJsonError, match=says.replace("^", r"\^")):
        parse_json(text)


def test_as_deep_and_as_many_as_may_be_are_taken() -> None:
    deepest = "[" * DEPTH_MAX + "]" * DEPTH_MAX
    assert compact_json(parse_json(deepest)) == deepest
    assert len(parse_json("[" + "0," * (VALUES_MAX - 3) + "0]")) == VALUES_MAX - 2
    # Brackets and commas in strings count as nothing.
    assert parse_json('["' + "[{,]" * 100_000 + '"]') == ["[{,]" * 100_000]
    assert parse_json("[9007199254740993, 18446744073709551615, -9223372036854775808]")[0] == 2**53 + 1
