"""Jinja2 templates, in a sandbox in which whoever wrote the template can neither reach out nor take long.

Jinja2's immutable sandbox keeps a template from changing what it is given and from Python's insides, but lets it call
any method, and run and grow without end. Here only harmless methods can be called, what multiplies is reckoned before
it is done, and every loop, call, filter and value costs units of a budget. Needs the package jinja2, which `promptwire`
alone does not bring.
"""

from collections.abc import Callable, Iterator, Mapping, Sized
from functools import lru_cache
from typing import Any, Final, NoReturn, cast

from jinja2 import StrictUndefined, TemplateSyntaxError, UndefinedError, meta, nodes, pass_context
from jinja2.filters import FILTERS
from jinja2.lexer import Token, TokenStream
from jinja2.parser import Parser
from jinja2.runtime import BlockReference, Context, LoopContext, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Cycler, Joiner, Namespace, missing

from promptwire.domain.jinja_budget import Budget, BudgetError
from promptwire.domain.template import MissingVariablesError, RenderingError, TemplateError

SOURCE_MAX_BYTES: Final = 128 << 10
"""Compiling takes about a second a megabyte."""

_BUDGET: Final = " budget"
"""In a context; no template can name it, for the space."""
_FILTERS: Final = """
    abs batch capitalize center count d default dictsort e escape filesizeformat first float groupby indent int items
    join last length list lower map max min reject rejectattr replace reverse round select selectattr slice sort string
    sum title tojson trim truncate unique upper urlencode wordcount wordwrap
"""
_METHODS_OF_TEXT: Final = """
    capitalize casefold count endswith find index isalnum isalpha isdecimal isdigit islower isnumeric isspace istitle
    isupper lower lstrip partition removeprefix removesuffix rfind rindex rpartition rsplit rstrip split splitlines
    startswith strip swapcase title upper
"""
_OWN: Final = (BlockReference, Cycler, Joiner, LoopContext, Macro, Undefined)
_METHODS_OF: Final = (list, tuple, dict, set, frozenset, LoopContext, Cycler, Joiner)
_NOT_TAKEN: Final = {
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "from",
    nodes.Extends: "extends",
}


class JinjaTemplate:
    """A template compiled once. Raises TemplateError when it is none."""

    __slots__ = ("_compiled", "_text", "variables")

    def __init__(self, text: str) -> None:
        self._text = text
        self._compiled, self.variables = _compile(text)

    def render(self, values: Mapping[str, object]) -> str:
        """Raises MissingVariablesError for the first value that was needed and is not there, RenderingError for any
        other failure: a value of the wrong kind, something forbidden, too much work.
        """
        budget = Budget()
        context = self._compiled.new_context({**values, _BUDGET: budget})
        try:
            return "".join(budget.within(self._compiled.root_render_func(context)))
        except RenderingError:
            raise
        except UndefinedError as error:
            raise _missing(error, values) from error
        except RecursionError as error:
            raise RenderingError("macros call one another too deep") from error
        except Exception as error:
            raise RenderingError(str(error) or type(error).__name__) from error

    def partly(self, values: Mapping[str, object]) -> NoReturn:
        raise RenderingError("Jinja2 templates cannot be filled in partly")

    @property
    def text(self) -> str:
        return self._text

    def single_braced(self) -> NoReturn:
        raise RenderingError("Jinja2 templates have no single-brace form")


@lru_cache(maxsize=1_024)
def _compile(text: str) -> tuple[Any, tuple[str, ...]]:
    if len(text.encode()) > SOURCE_MAX_BYTES:
        raise TemplateError(f"must be at most {SOURCE_MAX_BYTES:,} bytes of Jinja2", 1, 1)
    tokens = _Tokens(text)
    try:
        tree = Parser(cast(_Environment, tokens), text).parse()
        tree.set_environment(_environment())
        _check_and_meter(tree, text)
        order = [node.name for node in tree.find_all(nodes.Name)]
        code = _environment().compile(tree)
        undeclared = meta.find_undeclared_variables(tree) - set(_environment().globals)
    except TemplateError:
        raise
    except TemplateSyntaxError as error:
        raise TemplateError(str(error.message).rstrip("."), *tokens.place(error.lineno)) from error
    except (RecursionError, SyntaxError, MemoryError, ValueError) as error:
        raise TemplateError(f"is nested too deep, or too large, to compile: {error}", 1, 1) from error
    names = dict.fromkeys(name for name in order if name in undeclared)
    template = _Environment.template_class.from_code(_environment(), code, _environment().make_globals(None))
    return template, tuple(names)


def _missing(error: UndefinedError, values: Mapping[str, object]) -> MissingVariablesError | RenderingError:
    name = getattr(error, "name", None)
    if isinstance(name, str) and name not in values:
        return MissingVariablesError((name,))
    return RenderingError(str(error))


class _NamingError(UndefinedError):
    """Tells which variable it was; None for an attribute of one."""

    name: str | None = None


class _Strict(StrictUndefined):
    """A variable without a value: whatever is done with it but `is defined` and `default` fails, and names it."""

    def _fail_with_undefined_error(self, *args: Any, **kwargs: Any) -> NoReturn:
        if not issubclass(self._undefined_exception, UndefinedError):
            raise self._undefined_exception(self._undefined_message)
        error = _NamingError(self._undefined_message)
        # An attribute's error has the object it is missing from.
        error.name = self._undefined_name if self._undefined_obj is missing else None
        raise error

    # As in StrictUndefined: each of them is this one method.
    __iter__ = __str__ = __len__ = _fail_with_undefined_error
    __eq__ = __ne__ = __bool__ = __hash__ = __contains__ = _fail_with_undefined_error
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __mod__ = __rmod__ = _fail_with_undefined_error
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __pow__ = __rpow__ = _fail_with_undefined_error
    __lt__ = __le__ = __gt__ = __ge__ = __call__ = __getitem__ = _fail_with_undefined_error
    __int__ = __float__ = __complex__ = __pos__ = __neg__ = _fail_with_undefined_error

    def __getattr__(self, name: str) -> NoReturn:
        if name[:2] == "__":
            raise AttributeError(name)
        self._fail_with_undefined_error()


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def call(__self, __context: Context, __obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        _refuse_callable(__context, __obj)
        budget = _budget(__context)
        budget.spend(1)
        if __obj is range:
            return budget.weighed(_range(*args))
        return budget.weighed(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        budget = _budget(context)
        budget.check_operation(operator, left, right)
        return budget.weighed(super().call_binop(context, operator, left, right))


@lru_cache(maxsize=1)
def _environment() -> _Environment:
    made = _Environment(undefined=_Strict, optimized=False, keep_trailing_newline=True, finalize=_put_out)
    made.globals = {"range": range, "dict": dict, "namespace": Namespace, "cycler": Cycler, "joiner": Joiner}
    made.filters = {name: _metered(name, FILTERS[name]) for name in _FILTERS.split()}
    made.filters |= {_TICK: _tick, _WEIGH: _weigh, _CONCAT: _concat}
    return made


# Names of filters that only we can write into a tree.
_TICK, _WEIGH, _CONCAT = " tick", " weigh", " concat"


def _budget(context: Context) -> Budget:
    budget = context.parent[_BUDGET]
    assert isinstance(budget, Budget)
    return budget


@pass_context
def _put_out(context: Context, value: object) -> object:
    return _budget(context).weighed(value)


@pass_context
def _tick(context: Context, value: object, units: int) -> object:
    _budget(context).spend(max(units, 0))
    return value


@pass_context
def _weigh(context: Context, value: object) -> object:
    return _budget(context).weighed(value)


@pass_context
def _concat(context: Context, values: list[object]) -> str:
    return _budget(context).joined(values, "")


def _metered(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, charged for what goes in and what comes out; refused where it would multiply."""
    wants_context = getattr(original, "jinja_pass_arg", None)

    @pass_context
    def filtered(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
        budget = _budget(context)
        budget.spend(1 + (len(value) // 64 if isinstance(value, Sized) and not isinstance(value, Undefined) else 0))
        if name == "join" and not kwargs and len(args) <= 1:
            return budget.joined(value, *args)
        budget.check_filter(name, value, args, kwargs)
        first: tuple[Any, ...] = ()
        if wants_context is not None:
            kind = wants_context.name
            first = (
                context if kind == "context" else context.eval_ctx if kind == "eval_context" else context.environment,
            )
        result = original(*first, value, *args, **kwargs)
        # Lists now, so that they can be weighed; what others yield was weighed, or is weighed where it is used.
        return budget.weighed(list(result) if name in ("batch", "slice") else result)

    return filtered


def _range(*args: Any) -> range:
    made = range(*args)
    if len(made) > Budget.RANGE_MAX:
        raise BudgetError(f"a range may have at most {Budget.RANGE_MAX:,} numbers; got {len(made):,}")
    return made


def _refuse_callable(context: Context, obj: Any) -> None:
    """Raises RenderingError for anything but Jinja2's own, harmless methods, and what was given as a variable."""
    owner, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
    if isinstance(owner, str):
        harmless = type(owner) is str and name in _METHODS_OF_TEXT.split()
    else:
        # The context's own values are the globals and what was given.
        given = any(obj is value for value in context.parent.values())
        harmless = given or isinstance(obj, _OWN) or type(owner) in _METHODS_OF or type(owner).__module__ == "datetime"
    if not harmless:
        of = f" of {type(owner).__name__}" if owner is not None else ""
        raise RenderingError(f"a template must not call {name or type(obj).__name__}{of}")


def _check_and_meter(tree: nodes.Template, text: str) -> None:
    """Refuses what needs other templates, and writes the budget into the tree."""
    for node in tree.find_all(tuple(_NOT_TAKEN)):
        word = _NOT_TAKEN[type(node)]
        raise TemplateError(
            f"{{% {word} %}} is not taken; {{{{> prompts:/name@alias }}}} includes another prompt",
            node.lineno,
            _column_of(text, node.lineno, word),
        )
    environment = _environment()
    for found in [*tree.find_all((nodes.Filter, nodes.Test))]:
        known = environment.filters if isinstance(found, nodes.Filter) else environment.tests
        if found.name not in known or found.name.startswith(" "):
            kind = "filter" if isinstance(found, nodes.Filter) else "test"
            names = ", ".join(sorted(name for name in known if name.isidentifier()))
            column = _column_of(text, found.lineno, found.name)
            raise TemplateError(f"there is no {kind} {found.name!r}; there are {names}", found.lineno, column)
    for loop in [*tree.find_all(nodes.For)]:
        said = sum(len(data.data) for part in loop.body for data in _data(part))
        units = 1 + said // 64
        spend = nodes.ExprStmt(_filtered(nodes.Const(None), _TICK, nodes.Const(units)), lineno=loop.lineno)
        loop.body.insert(0, spend)
    _replace(tree)


def _data(node: nodes.Node) -> Iterator[nodes.TemplateData]:
    if isinstance(node, nodes.TemplateData):
        yield node
    yield from node.find_all(nodes.TemplateData)


def _filtered(node: nodes.Expr, name: str, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno or 1)


def _replace(node: nodes.Node) -> None:
    """Concatenations become calls of ours, lists and the like that hold variables are weighed once made."""
    for child in [*node.iter_child_nodes()]:
        _replace(child)
    for name, value in [*node.iter_fields()]:
        if isinstance(value, list):
            setattr(node, name, [_instead(one) for one in value])
        elif isinstance(value, nodes.Node):
            setattr(node, name, _instead(value))


def _instead(value: Any) -> Any:
    if isinstance(value, nodes.Concat):
        return _filtered(nodes.List(value.nodes, lineno=value.lineno), _CONCAT)
    if isinstance(value, nodes.List | nodes.Dict) or (isinstance(value, nodes.Tuple) and value.ctx == "load"):
        return _filtered(value, _WEIGH)
    return value


def _column_of(text: str, line: int, word: str) -> int:
    """Of a word in a line, from 1; 1 when it is not there."""
    lines = text.splitlines()
    return max(lines[line - 1].find(word), 0) + 1 if 1 <= line <= len(lines) else 1


class _Tokens:
    """Stands in for the environment while a text is parsed, and knows where the parser is."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._offset = 0
        self._end = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(_environment(), name)

    def place(self, line: int) -> tuple[int, int]:
        """Line and column, both from 1, of the token that the parser is at; that line's start if it is not in it."""
        start = self._text.rfind("\n", 0, self._offset) + 1
        here = self._text.count("\n", 0, self._offset) + 1
        return (here, self._offset - start + 1) if here == line or self._offset == len(self._text) else (line, 1)

    def _tokenize(self, source: str, name: str | None, filename: str | None, state: str | None = None) -> TokenStream:
        return TokenStream(self._tokens(source, name, filename, state), name, filename)

    def _tokens(self, *of: Any) -> Iterator[Token]:
        lexer = _environment().lexer
        for raw in lexer.tokeniter(*of):
            # Not a sum of lengths: what whitespace control removes is in no token.
            at = self._text.find(raw[2], self._end)
            self._offset, self._end = (at, at + len(raw[2])) if at >= 0 else (self._end, self._end)
            yield from lexer.wrap(iter([raw]))
        self._offset = len(self._text)
