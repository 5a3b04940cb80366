"""What a template's path may walk: `user.name` is an entry of a mapping, or a public attribute of anything else.

Never a name that begins with `_`, and nothing of or into what a program is made of: functions, methods, classes,
modules, generators, coroutines, frames, tracebacks, code. Dataclass and pydantic fields, named tuples, enums, dates and
properties are public attributes; a property runs the application's own code.
"""

import functools
import types
from collections.abc import Mapping
from typing import Any, Final

NOTHING: Final = object()

_CLOSED: Final = (
    type,
    types.ModuleType,
    types.FunctionType,
    types.MethodType,
    types.BuiltinFunctionType,
    types.MethodWrapperType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    types.GeneratorType,
    types.CoroutineType,
    types.AsyncGeneratorType,
    types.FrameType,
    types.TracebackType,
    types.CodeType,
    types.CellType,
    functools.partial,
    property,
    staticmethod,
    classmethod,
)


def attribute(value: Any, name: str) -> Any:
    """The entry or attribute, or NOTHING."""
    if name.startswith("_") or is_closed(value):
        return NOTHING
    if isinstance(value, Mapping):
        return value.get(name, NOTHING)
    found = getattr(value, name, NOTHING)
    return NOTHING if is_closed(found) else found


def is_closed(value: object) -> bool:
    """Whether it is part of a program and no data: compiled extensions' functions are told by being descriptors."""
    return isinstance(value, _CLOSED) or (callable(value) and hasattr(type(value), "__get__"))
