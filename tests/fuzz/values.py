"""Values at edges, texts that break things, and bytes bent a little; all of one random generator, so a seed repeats."""

import base64
import json
import math
import random
import string
from collections.abc import Callable
from typing import Any, Final

INTEGERS: Final = sorted(
    {0, 1, 2, 3, 10, 99, 100, 1_000, 1_001, 10_000, 253_402_300_799, 253_402_300_800, 10**14}
    | {
        sign * (2**bits + more)
        for bits in (7, 8, 15, 16, 31, 32, 53, 62, 63)
        for more in (-1, 0, 1)
        for sign in (1, -1)
    }
)
DOUBLES: Final = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-300, 5e-324, 1e15, 1e16, 1e300, math.inf, -math.inf, math.nan]
CHARACTERS: Final = (
    "\0\t\n\r\x0b\x1b\x7f\x85\xa0\u061c\u200b\u200e\u2028\u2029\u202e\u2066\ufeff\ufffd\ufffe\uffff\U000e0041\U0001f600\U0010ffff"
    "éßẞİı\u0301한" + "{}[]()<>%_'\"`\\/.,:;@#$&*!?|=+-~^ "
)
SURROGATES: Final = "\ud800\udbff\udc00\udfff\udcff"
WORDS: Final = (
    "latest",
    "LATEST",
    "production",
    "staging",
    "default",
    "null",
    "true",
    "no",
    "y",
    "p",
    "q",
    "a/b",
    "chat",
    "jinja",
    "prompts:/",
    "prompts:/p@production",
    "{{name}}",
    "{{> prompts:/p@production }}",
    "{% for x in y %}",
    "{% endfor %}",
    "{{ x|replace('a','b') }}",
    "1",
    "0",
    "-1",
    "v1",
    "1e999",
    "NaN",
    "0x10",
    "\\ud800",
    "\\u0000",
    "*x",
    "&x",
    "---",
    "...",
)
KINDS: Final[tuple[Callable[[random.Random], str], ...]] = (
    lambda rng: "",
    lambda rng: rng.choice(WORDS),
    lambda rng: rng.choice(WORDS) + rng.choice(CHARACTERS) + rng.choice(WORDS),
    lambda rng: "".join(rng.choices(CHARACTERS, k=rng.randrange(1, 9))),
    lambda rng: "".join(rng.choices(string.printable, k=rng.randrange(1, 30))),
    lambda rng: chr(rng.choice((rng.randrange(0xD800), rng.randrange(0xE000, 0x110000)))) * rng.randrange(1, 4),
    lambda rng: rng.choice('a1/.{["é\0 ') * rng.choice((63, 64, 65, 127, 128, 129, 250, 256, 257, 1_001)),
    lambda rng: str(integer(rng)),
    lambda rng: json.dumps(json_value(rng)),
)


def integer(rng: random.Random) -> int:
    return rng.choice(INTEGERS) if rng.random() < 0.7 else rng.randrange(-5, 20)


def double(rng: random.Random) -> float:
    return rng.choice(DOUBLES) if rng.random() < 0.6 else rng.uniform(-1e3, 1e3)


def text(rng: random.Random) -> str:
    """Without half surrogate pairs: protobuf and UTF-8 carry none."""
    return rng.choice(KINDS)(rng)


def json_value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(9 if depth < 4 else 6)
    if kind >= 7:
        return {rng.choice(WORDS): json_value(rng, depth + 1) for _ in range(rng.randrange(3))}
    if kind >= 6:
        return [json_value(rng, depth + 1) for _ in range(rng.randrange(3))]
    return (None, True, integer(rng), double(rng), rng.choice(WORDS), "".join(rng.choices(CHARACTERS, k=3)))[kind]


def json_text(rng: random.Random) -> str:
    """JSON, or nearly: too deep, a key twice, a number too large, half a pair."""
    match rng.randrange(8):
        case 0:
            depth = rng.choice((31, 32, 33, 63, 64, 65, 150, 900, 20_000))
            opening, closing = rng.choice((("[", "]"), ('{"a":', "}")))
            return opening * depth + rng.choice(("", "1", '"x"')) + closing * rng.choice((depth, 0))
        case 1:
            return f'{{"a": {rng.choice(WORDS)}, "a": 1}}'
        case 2:
            return '{"a": ' + rng.choice(("1e999", "-1e999", "9" * 5_000, "1" + "0" * 300 + ".0", "-0", "1E+2")) + "}"
        case 3:
            return json.dumps({"role": rng.choice(WORDS), "content": "\ud800"})
        case 4:
            return bent_text(rng, json.dumps(messages(rng), ensure_ascii=False))
    return json.dumps(messages(rng) if rng.random() < 0.5 else {"k": json_value(rng)}, ensure_ascii=rng.random() < 0.5)


def messages(rng: random.Random) -> list[Any]:
    kinds: list[Callable[[], Any]] = [
        lambda: {"role": rng.choice(("user", "system", text(rng))), "content": text(rng)},
        lambda: {"role": "user", "content": [{"type": "text", "text": text(rng)}, json_value(rng)]},
        lambda: {
            "type": "placeholder",
            "name": rng.choice(("history", "x", text(rng))),
            "optional": rng.random() < 0.5,
        },
        lambda: json_value(rng),
    ]
    return [rng.choices(kinds, (4, 2, 2, 1))[0]() for _ in range(rng.randrange(4))]


def bent(rng: random.Random, data: bytes) -> bytes:
    """Bytes with a few of them changed, taken out, doubled or put in."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at, end = sorted((rng.randrange(len(changed) + 1), rng.randrange(len(changed) + 1)))
        match rng.randrange(5):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << rng.randrange(8)
            case 1:
                del changed[at : min(end, at + rng.randrange(1, 20))]
            case 2:
                changed[at:at] = changed[at : at + rng.randrange(1, 60)]
            case 3:
                changed[at:at] = rng.choice(
                    (b"\0", b"\xff", b"\x80", b"\xff\xff\xff\xff\x0f", b"\xed\xa0\x80", b"\n", b"{")
                )
            case _:
                del changed[at:]
    return bytes(changed)


def bent_text(rng: random.Random, given: str) -> str:
    """The same of a text; one that is still Unicode."""
    at, end = sorted((rng.randrange(len(given) + 1), rng.randrange(len(given) + 1)))
    match rng.randrange(4):
        case 0:
            return given[:at] + given[end:]
        case 1:
            return given[:at] + text(rng) + given[at:]
        case 2:
            return given[:end] + given[at:]
    return given[:at] + rng.choice(CHARACTERS) + given[at + 1 :]


def page_token(rng: random.Random, real: list[str]) -> str:
    """A token that was answered, or its array with a part replaced, or something else altogether."""
    if not real or rng.random() < 0.2:
        return text(rng)
    token = rng.choice(real)
    if rng.random() < 0.3:
        return token
    try:
        array = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except ValueError:
        return bent_text(rng, token)
    if not isinstance(array, list) or not array:
        return bent_text(rng, token)
    at = -1 if rng.random() < 0.7 else rng.randrange(len(array))
    array[at] = rng.choice((integer(rng), "\ud800", text(rng), f"{array[at]}\0", json_text(rng), json_value(rng)))
    return base64.urlsafe_b64encode(json.dumps(array).encode()).decode().rstrip("=")
