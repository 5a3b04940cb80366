"""The filters, tests and methods of the Jinja2 subset: each takes the budget, the value, and what Jinja2's takes.

They do what Jinja2's own do, once that is paid for. Results of filters that Jinja2 makes on demand are iterators here,
too, but of a list.
"""

import operator
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from jinja2 import filters as jinja
from jinja2.tests import TESTS as JINJA_TESTS
from jinja2.utils import htmlsafe_json_dumps

from promptwire.domain.attributes import NOTHING
from promptwire.domain.jinja_budget import Budget, Missing
from promptwire.domain.template import RenderingError


def _on_text(change: Callable[..., Any]) -> Callable[..., Any]:
    """A filter without arguments that makes about as much text as it gets."""
    return lambda budget, s: change(budget.text(s))


def _on_words(change: Callable[..., Any]) -> Callable[..., Any]:
    """The same of one that takes a text apart into words."""

    def apply(budget: Budget, s: Any) -> Any:
        text = budget.text(s)
        budget.spend(len(text) // 4)
        return change(text)

    return apply


def _on_items(choose: Callable[[list[Any]], Any]) -> Callable[..., Any]:
    return lambda budget, value: choose(budget.items(value))


def _default(budget: Budget, value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    return default_value if isinstance(value, Missing) or (boolean and not value) else value


def _trim(budget: Budget, value: Any, chars: str | None = None) -> str:
    return _strip(str.strip, budget, budget.text(value), chars)


def _replace(budget: Budget, s: Any, old: str, new: str, count: int | None = None) -> str:
    text, old, new = budget.text(s), budget.text(old), budget.text(new)
    budget.spend_chars(text.count(old) * len(new))
    return text.replace(old, new, -1 if count is None else count)


def _indent(budget: Budget, s: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    text = budget.text(s)
    chars = len(width) if isinstance(width, str) else width
    budget.spend_chars((len(text.splitlines()) + 2) * max(chars, 1))
    return jinja.do_indent(text, width, first, blank)


def _truncate(
    budget: Budget, s: Any, length: int = 255, killwords: bool = False, end: str = "...", leeway: int = 5
) -> str:
    text, end = budget.text(s), budget.text(end)
    if length < len(end):
        raise RenderingError(f"truncate: length must be at least {len(end)}; got {length}")
    if len(text) <= length + leeway:
        return text
    cut = text[: length - len(end)]
    return cut + end if killwords else cut.rsplit(" ", 1)[0] + end


def _join(budget: Budget, value: Any, d: Any = "", attribute: Any = None) -> str:
    between, items = budget.text(d), budget.items(value)
    budget.spend_chars(len(between) * len(items))
    return between.join([budget.text(item) for item in _keys(budget, items, attribute)])


def _tojson(budget: Budget, value: Any, indent: int | None = None) -> str:
    if indent is not None and not 0 <= indent <= 16:
        raise RenderingError(f"tojson: indent must be 0 to 16; got {indent}")
    budget.weigh(value, indent or 0)
    return str(htmlsafe_json_dumps(value, sort_keys=True, indent=indent))


def _round(budget: Budget, value: Any, precision: int = 0, method: Any = "common") -> Any:
    if not -20 <= precision <= 20:
        raise RenderingError(f"round: precision must be -20 to 20; got {precision}")
    return jinja.do_round(budget.number(value), precision, method)


def _int(budget: Budget, value: Any, default: int = 0) -> Any:
    return budget.number(jinja.do_int(budget.text(value) if isinstance(value, str) else value, default))


def _float(budget: Budget, value: Any, default: float = 0.0) -> float:
    return jinja.do_float(budget.text(value) if isinstance(value, str) else value, default)


def _sum(budget: Budget, iterable: Any, attribute: Any = None, start: Any = 0) -> Any:
    total = start
    for item in _keys(budget, budget.items(iterable), attribute):
        total = budget.calculate(operator.add, total, _need(item)) if not isinstance(item, str) else _no_number(item)
    return total


def _no_number(item: object) -> Any:
    raise RenderingError(f"sum takes numbers; got {type(item).__name__}")


def _first(budget: Budget, seq: Any) -> Any:
    return next(iter(seq), Missing("there is no first item: the sequence is empty"))


def _last(budget: Budget, seq: Any) -> Any:
    return next(iter(reversed(seq)), Missing("there is no last item: the sequence is empty"))


def _reverse(budget: Budget, value: Any) -> Any:
    return budget.text(value)[::-1] if isinstance(value, str) else iter(budget.items(value)[::-1])


def _entries(budget: Budget, value: Any) -> Any:
    if isinstance(value, Missing):
        return iter(())
    if not isinstance(value, Mapping):
        raise RenderingError(f"items takes a mapping; got {type(value).__name__}")
    return iter(budget.items(value.items()))


def _sorted(budget: Budget, items: list[Any], keys: list[Any], reverse: bool, case_sensitive: bool) -> list[Any]:
    """Takes m log m comparisons, of which sixteen cost about a unit."""
    weight = budget.weigh(keys)
    budget.spend(weight * len(keys).bit_length() // 16)
    folded = [_folded(_need(key), case_sensitive) for key in keys]
    order = sorted(range(len(items)), key=folded.__getitem__, reverse=reverse)
    return [items[index] for index in order]


def _sort(
    budget: Budget, value: Any, reverse: bool = False, case_sensitive: bool = False, attribute: Any = None
) -> list[Any]:
    items = budget.items(value)
    return _sorted(budget, items, _keys(budget, items, attribute), reverse, case_sensitive)


def _dictsort(
    budget: Budget, value: Any, case_sensitive: bool = False, by: Any = "key", reverse: bool = False
) -> list[Any]:
    if by not in ("key", "value"):
        raise RenderingError("dictsort: by must be key or value")
    items = list(_entries(budget, value))
    return _sorted(budget, items, [item[by == "value"] for item in items], reverse, case_sensitive)


def _extreme(
    choose: Callable[..., Any], budget: Budget, value: Any, case_sensitive: bool = False, attribute: Any = None
) -> Any:
    items = budget.items(value)
    keys = _keys(budget, items, attribute)
    budget.weigh(keys)
    folded = [_folded(_need(key), case_sensitive) for key in keys]
    if not items:
        return Missing("there is no least or greatest item: the sequence is empty")
    return items[choose(range(len(items)), key=folded.__getitem__)]


def _unique(budget: Budget, value: Any, case_sensitive: bool = False, attribute: Any = None) -> Iterator[Any]:
    items = budget.items(value)
    keys = _keys(budget, items, attribute)
    budget.weigh(keys)
    found: dict[Any, Any] = {}
    for key, item in zip(keys, items, strict=True):
        found.setdefault(_folded(_need(key), case_sensitive), item)
    return iter([*found.values()])


def _map(budget: Budget, value: Any, name: Any = None, *args: Any, attribute: Any = None, default: Any = None) -> Any:
    items = budget.items(value)
    if name is not None:
        return iter([FILTERS[name](budget, item, *args) for item in items])
    keys = _keys(budget, items, attribute)
    return iter([key if default is None else _default(budget, key, default) for key in keys])


def _choose(wanted: bool, budget: Budget, value: Any, name: Any = None, *args: Any) -> Iterator[Any]:
    items = budget.items(value)
    return iter([item for item in items if _passes(budget, item, name, args) is wanted])


def _choose_by(wanted: bool, budget: Budget, value: Any, attribute: Any, name: Any = None, *args: Any) -> Iterator[Any]:
    items = budget.items(value)
    pairs = zip(items, _keys(budget, items, attribute), strict=True)
    return iter([item for item, key in pairs if _passes(budget, key, name, args) is wanted])


def _passes(budget: Budget, value: Any, name: str | None, args: tuple[Any, ...]) -> bool:
    return bool(_need(value) if name is None else check(budget, name, value, *args))


def _keys(budget: Budget, items: list[Any], attribute: Any) -> list[Any]:
    """The items, or what each has under a path such as `user.name` or `0`."""
    if attribute is None:
        return items
    path = [int(part) if part.isdecimal() else part for part in str(attribute).split(".")]
    budget.spend(len(items) * len(path))
    for name in path:
        items = [budget.item(_need(item), name) for item in items]
    return items


def _folded(key: Any, case_sensitive: bool) -> Any:
    return key.lower() if isinstance(key, str) and not case_sensitive else key


def _need(value: Any) -> Any:
    if isinstance(value, Missing):
        value.fail()
    return value


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "abs": lambda budget, x: budget.number(abs(x)),
    "capitalize": _on_text(str.capitalize),
    "count": lambda budget, obj: len(obj),
    "d": _default,
    "default": _default,
    "dictsort": _dictsort,
    "first": _first,
    "float": _float,
    "indent": _indent,
    "int": _int,
    "items": _entries,
    "join": _join,
    "last": _last,
    "length": lambda budget, obj: len(obj),
    "list": _on_items(list),
    "lower": _on_text(str.lower),
    "map": _map,
    "max": partial(_extreme, max),
    "min": partial(_extreme, min),
    "reject": partial(_choose, False),
    "rejectattr": partial(_choose_by, False),
    "replace": _replace,
    "reverse": _reverse,
    "round": _round,
    "select": partial(_choose, True),
    "selectattr": partial(_choose_by, True),
    "sort": _sort,
    "string": _on_text(str),
    "sum": _sum,
    "title": _on_words(jinja.do_title),
    "tojson": _tojson,
    "trim": _trim,
    "truncate": _truncate,
    "unique": _unique,
    "upper": _on_text(str.upper),
    "wordcount": _on_words(jinja.do_wordcount),
}
BY_NAME: Final = {"map": 0, "select": 0, "reject": 0, "selectattr": 1, "rejectattr": 1}
"""Filters that take the name of a filter (map) or of a test, and the place of that name among their arguments."""


def _strip(how: Callable[..., str], budget: Budget, value: str, chars: str | None = None) -> str:
    # Each character is looked for among `chars`.
    budget.spend_chars(len(value) * max(len(chars or ""), 1))
    return how(value, chars)


def _split(budget: Budget, value: str, sep: str | None = None, maxsplit: int = -1) -> list[str]:
    budget.spend(value.count(sep) + 1 if sep else len(value) // 2 + 1)
    budget.spend_chars(len(value))
    return value.split(sep, maxsplit)


def _of_text(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(budget: Budget, value: Any, *args: Any) -> Any:
        if not isinstance(value, str):
            raise RenderingError(f"this is a method of texts; got {type(value).__name__}")
        return method(budget, str(value), *args)

    return call


def _of_mapping(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(budget: Budget, value: Any, *args: Any) -> Any:
        if not isinstance(value, Mapping):
            raise RenderingError(f"this is a method of mappings; got {type(value).__name__}")
        return method(budget, value, *args)

    return call


def _affix(method: Callable[..., bool]) -> Callable[..., Any]:
    def call(budget: Budget, value: str, affix: str) -> bool:
        budget.spend_chars(len(affix))
        return method(value, affix)

    return call


METHODS: Final[dict[str, tuple[Callable[..., Any], int, int]]] = {
    # With the fewest and most arguments.
    "capitalize": (_of_text(FILTERS["capitalize"]), 0, 0),
    "endswith": (_of_text(_affix(str.endswith)), 1, 1),
    "get": (_of_mapping(lambda budget, value, key, default=None: _get(budget, value, key, default)), 1, 2),
    "items": (_of_mapping(lambda budget, value: value.items()), 0, 0),
    "keys": (_of_mapping(lambda budget, value: value.keys()), 0, 0),
    "lower": (_of_text(FILTERS["lower"]), 0, 0),
    "lstrip": (_of_text(partial(_strip, str.lstrip)), 0, 1),
    "replace": (_of_text(_replace), 2, 3),
    "rstrip": (_of_text(partial(_strip, str.rstrip)), 0, 1),
    "split": (_of_text(_split), 0, 2),
    "startswith": (_of_text(_affix(str.startswith)), 1, 1),
    "strip": (_of_text(partial(_strip, str.strip)), 0, 1),
    "title": (_of_text(lambda budget, value: budget.text(value).title()), 0, 0),
    "upper": (_of_text(FILTERS["upper"]), 0, 0),
    "values": (_of_mapping(lambda budget, value: value.values()), 0, 0),
}


def _get(budget: Budget, value: Mapping[Any, Any], key: Any, default: Any) -> Any:
    budget.weigh(key)
    found = value.get(key, NOTHING)
    return default if found is NOTHING else found


def _compared(operation: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return lambda budget, value, other: budget.compare(operation, value, other)


def _plain(test: Any) -> Callable[..., Any]:
    return lambda budget, value: test(value)


def _remainder(budget: Budget, value: Any, num: Any) -> Any:
    return budget.calculate(operator.mod, value, num)


_OF_KIND: Final = ("boolean", "false", "float", "integer", "mapping", "none", "number", "sequence", "string", "true")
TESTS: Final[dict[str, Callable[..., Any]]] = {
    **{name: _plain(JINJA_TESTS[name]) for name in _OF_KIND},
    "defined": lambda budget, value: not isinstance(value, Missing),
    "undefined": lambda budget, value: isinstance(value, Missing),
    "divisibleby": lambda budget, value, num: _remainder(budget, value, num) == 0,
    "even": lambda budget, value: _remainder(budget, value, 2) == 0,
    "odd": lambda budget, value: _remainder(budget, value, 2) == 1,
    "in": lambda budget, value, seq: budget.contains(seq, value),
    "iterable": _plain(JINJA_TESTS["iterable"]),
    "lower": lambda budget, value: budget.text(value).islower(),
    "upper": lambda budget, value: budget.text(value).isupper(),
    **dict.fromkeys(["==", "eq", "equalto"], _compared(operator.eq)),
    **dict.fromkeys(["!=", "ne"], _compared(operator.ne)),
    **dict.fromkeys(["<", "lt", "lessthan"], _compared(operator.lt)),
    **dict.fromkeys(["<=", "le"], _compared(operator.le)),
    **dict.fromkeys([">", "gt", "greaterthan"], _compared(operator.gt)),
    **dict.fromkeys([">=", "ge"], _compared(operator.ge)),
}
_OF_MISSING: Final = {*_OF_KIND, "defined", "undefined"}


def check(budget: Budget, name: str, value: Any, *args: Any) -> Any:
    """`value is name(args)`. Only some tests take a value that is not there."""
    return TESTS[name](budget, value if name in _OF_MISSING else _need(value), *args)
