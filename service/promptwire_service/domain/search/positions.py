"""Where a row stands in an order that has an index, as text whose order of code points is that order.

In the natural order, names ascend and within a name versions descend. In order of `newest`, time descends, and rows of
one time are in natural order. Stores and tokens of pages carry positions; `""` is before all of them.
"""

import re
from typing import Final

from promptwire_service.domain.records import PromptRecord
from promptwire_service.domain.search.rows import VersionRow

_TURNED: Final = 999_999_999_999_999
_POSITION: Final = re.compile(r"(?:(\d{15})\0)?([^\0]+?)(?:\0(\d{15}))?\Z", re.ASCII)


def of_version(name: str, version: int) -> str:
    return f"{name}\0{turned(version)}"


def of_row(row: VersionRow | PromptRecord, newest: str = "") -> str:
    """Natural, or in the order of `newest`, `created_at` or `updated_at`."""
    if isinstance(row, VersionRow):
        position, created_ms, updated_ms = of_version(row.version.name, row.version.version), row.version.created_ms, 0
    else:
        position, created_ms, updated_ms = row.name, row.created_ms, row.updated_ms
    if not newest:
        return position
    return f"{turned(created_ms if newest == 'created_at' else updated_ms)}\0{position}"


def turned(number: int) -> str:
    """15 digits that sort the other way round."""
    return f"{_TURNED - number:015}"


def name_in(position: str) -> str:
    """Of a natural position."""
    return position.partition("\0")[0]


def key_in(position: str) -> tuple[str, int]:
    """Name and version, 0 for a prompt."""
    _, name, version = _matched(position)
    return name, _TURNED - int(version) if version else 0


def is_position(text: str, *, version: bool, newest: bool) -> bool:
    """Whether a row of this kind could stand there."""
    match = _POSITION.match(text)
    return match is not None and (match[1] is not None) == newest and (match[3] is not None) == version


def _matched(position: str) -> tuple[str | None, str, str | None]:
    match = _POSITION.match(position)
    if match is None:
        raise ValueError(f"no position: {position!r}")
    return match[1], match[2], match[3]
