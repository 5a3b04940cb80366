"""Dicts and lists that refuse changes: what many threads share."""

from typing import Any, NoReturn, TypeVar

_Value = TypeVar("_Value")


def _refuse(*_: object, **__: object) -> NoReturn:
    raise TypeError("this is a read-only view of what the registry holds; copy it with dict(...) or list(...)")


class ReadOnlyDict(dict[str, _Value]):
    """A dict that refuses changes. Unlike a mappingproxy it prints, pickles and goes through json.dumps as usual."""

    __slots__ = ()

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse

    def __reduce__(self) -> tuple[type, tuple[dict[str, _Value]]]:
        return type(self), (dict(self),)


class ReadOnlyList(list[_Value]):
    """The same of a list."""

    __slots__ = ()

    __setitem__ = __delitem__ = append = clear = extend = insert = pop = remove = reverse = sort = _refuse
    __iadd__ = __imul__ = _refuse

    def __reduce__(self) -> tuple[type, tuple[list[_Value]]]:
        return type(self), (list(self),)


def read_only(value: Any) -> Any:
    """What JSON holds, with its dicts and lists made such."""
    if isinstance(value, dict):
        return ReadOnlyDict({key: read_only(item) for key, item in value.items()})
    if isinstance(value, list):
        return ReadOnlyList(map(read_only, value))
    return value
