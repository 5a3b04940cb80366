"""Checks a tree against the subset, by allow-lists, and finds its variables: where a template is registered, and again
where it is rendered.
"""

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NoReturn

from jinja2 import nodes

from promptwire.domain.jinja_budget import INTEGER_MAX
from promptwire.domain.jinja_filters import BY_NAME, FILTERS, METHODS, TESTS
from promptwire.domain.jinja_parsing import error_at
from promptwire.domain.jinja_rendering import FUNCTIONS, LOOP_ATTRIBUTES, NODES

DEPTH_MAX: Final = 48
"""Deepest nesting of statements and expressions."""

_PARTS: Final = (nodes.Keyword, nodes.Operand, nodes.Pair, nodes.Slice, nodes.TemplateData)
"""Parts of the statements and expressions that are allowed."""
_WRITTEN: Final = {
    nodes.AssignBlock: "set with a filter",
    nodes.CallBlock: "call",
    nodes.FilterBlock: "filter",
    nodes.FromImport: "from",
    nodes.Pow: "**",
    nodes.Scope: "autoescape",
}
_ALLOWED: Final = (
    "allowed are {% if %}, {% for %}, {% set %}, {% raw %}, comments, texts, numbers, lists, dicts, .name, [...], "
    "+ - * / // % ~, comparisons, in, is, and, or, not, if/else, filters, range(), namespace()"
)


def check_tree(text: str, tree: nodes.Template) -> tuple[str, ...]:
    """The variables, in order of first use. Raises TemplateError for the first thing that is outside of the subset."""
    checking = _Checking(text)
    checking.all(tree.body, set(), 0)
    return tuple(checking.variables)


class _Checking:
    def __init__(self, text: str) -> None:
        self._text = text
        self.variables: dict[str, None] = {}

    def refuse(self, node: nodes.Node, problem: str) -> NoReturn:
        if isinstance(node, nodes.Scope):  # of {% autoescape %}; its statement has a place
            node = next(node.iter_child_nodes())
        raise error_at(self._text, node.lineno, problem)

    def all(self, several: Iterable[nodes.Node], declared: set[str], depth: int) -> None:
        for node in several:
            self.one(node, declared, depth)

    def one(self, node: nodes.Node, declared: set[str], depth: int) -> None:
        """`declared` are the names that a template has given a value up to here; the node adds to them."""
        depth += 1
        if depth > DEPTH_MAX:
            self.refuse(node, f"is nested too deep: at most {DEPTH_MAX} levels")
        match node:
            case nodes.Name(name=name) | nodes.NSRef(name=name):
                self._name(node, name, declared)
            case nodes.For():
                self._for(node, declared, depth)
            case nodes.If():
                self._if(node, declared, depth)
            case nodes.Assign(target=target, node=value):
                self.one(value, declared, depth)
                self.one(target, declared, depth)
            case nodes.AssignBlock(target=target, filter=None, body=body):
                self.all(body, {*declared}, depth)
                self.one(target, declared, depth)
            case nodes.AssignBlock():
                self._outside(node)
            case nodes.Const(value=value) if isinstance(value, int) and value > INTEGER_MAX:
                self.refuse(node, f"an integer must be at most {INTEGER_MAX:,}")
            case nodes.Filter() | nodes.Test():
                self._applied(node)
                self.all(node.iter_child_nodes(), declared, depth)
            case nodes.Call():
                self._call(node)
                inner = [node.node.node] if isinstance(node.node, nodes.Getattr) else []
                self.all([*inner, *node.args, *node.kwargs], declared, depth)
            case nodes.Getattr(attr=attr):
                self._attribute(node, attr, declared)
                self.one(node.node, declared, depth)
            case nodes.Sub() | nodes.Mul() | nodes.Div() | nodes.FloorDiv() | nodes.Mod():
                for side in (node.left, node.right):
                    if not _may_be_number(side):
                        self.refuse(node, f"{node.operator} takes numbers; {_ALLOWED}")
                self.all((node.left, node.right), declared, depth)
            case _ if type(node) in NODES or isinstance(node, _PARTS):
                self.all(node.iter_child_nodes(), declared, depth)
            case _:
                self._outside(node)

    def _outside(self, node: nodes.Node) -> NoReturn:
        word = _WRITTEN.get(type(node), type(node).__name__.lower())
        if isinstance(node, nodes.Include | nodes.Import | nodes.FromImport | nodes.Extends):
            self.refuse(node, f"{{% {word} %}} is not taken; {{{{> prompts:/name@alias }}}} includes another prompt")
        written = f"{{% {word} %}}" if isinstance(node, nodes.Stmt) else word
        self.refuse(node, f"{written} is not part of the Jinja2 that prompts may use; {_ALLOWED}")

    def _name(self, node: nodes.Node, name: str, declared: set[str]) -> None:
        if name in (*FUNCTIONS, "self"):
            self.refuse(node, f"{name} is no variable; {_ALLOWED}")
        if isinstance(node, nodes.Name) and node.ctx == "store":
            declared.add(name)
        elif name not in declared:
            self.variables[name] = None

    def _for(self, node: nodes.For, declared: set[str], depth: int) -> None:
        if node.recursive:
            self.refuse(node, f"{{% for ... recursive %}} is not taken; {_ALLOWED}")
        self.one(node.iter, declared, depth)
        inner = {*declared}
        self.one(node.target, inner, depth)
        if node.test:
            self.one(node.test, inner, depth)
        self.all(node.body, {*inner, "loop"}, depth)
        self.all(node.else_, {*declared}, depth)

    def _if(self, node: nodes.If, declared: set[str], depth: int) -> None:
        branches = []
        for branch in (node, *node.elif_):
            self.one(branch.test, declared, depth)
            branches.append(branch.body)
        after = []
        for body in (*branches, node.else_):
            after.append({*declared})
            self.all(body, after[-1], depth)
        declared |= set.intersection(*after)

    def _attribute(self, node: nodes.Getattr, name: str, declared: set[str]) -> None:
        if name.startswith("_"):
            self.refuse(node, f"attributes that begin with _ are not taken; got {name:.60}")
        if isinstance(node.node, nodes.Name) and node.node.name == "loop" and "loop" in declared:
            self._among(node, f"loop.{name}", [f"loop.{one}" for one in LOOP_ATTRIBUTES], "attribute")

    def _applied(self, node: nodes.Filter | nodes.Test) -> None:
        kind, known = ("filter", FILTERS) if isinstance(node, nodes.Filter) else ("test", TESTS)
        self._among(node, node.name, known, kind)
        self._binds(node, known[node.name], node.name)
        if kind == "test" or node.name not in BY_NAME or len(node.args) <= BY_NAME[node.name]:
            return
        given, *args = node.args[BY_NAME[node.name] :]
        name = given.value if isinstance(given, nodes.Const) else None
        inner: Mapping[str, Callable[..., Any]] = TESTS
        if node.name == "map":
            inner = {name: function for name, function in FILTERS.items() if name not in BY_NAME}
        self._among(given, name, inner, "filter" if node.name == "map" else "test")
        try:
            _signature(inner[str(name)]).bind(None, None, *args)
        except TypeError as error:
            self.refuse(given, f"{name}: {error}")

    def _call(self, node: nodes.Call) -> None:
        function = node.node
        if node.dyn_args or node.dyn_kwargs:
            self.refuse(node, "* and ** among arguments are not taken")
        if isinstance(function, nodes.Getattr):
            self._among(function, function.attr, METHODS, "method")
            _, least, most = METHODS[function.attr]
            if node.kwargs or not least <= len(node.args) <= most:
                self.refuse(function, f"{function.attr}() takes {least} to {most} arguments, without names")
            return
        name = function.name if isinstance(function, nodes.Name) else "this"
        self._among(function, name, FUNCTIONS, "function")
        if (node.kwargs or not 1 <= len(node.args) <= 3) if name == "range" else node.args:
            self.refuse(function, "it is range(stop), range(start, stop, step) and namespace(name=value)")

    def _binds(self, node: Any, function: Callable[..., Any], name: str) -> None:
        if node.dyn_args or node.dyn_kwargs:
            self.refuse(node, "* and ** among arguments are not taken")
        try:
            kwargs = {keyword.key: None for keyword in node.kwargs}
            _signature(function).bind(None, None, *node.args, **kwargs)
        except TypeError as error:
            self.refuse(node, f"{name}: {error}")

    def _among(self, node: nodes.Node, name: str | None, known: Collection[str], kind: str) -> None:
        if name not in known:
            self.refuse(node, f"there is no {kind} {name!r:.60}; there are {', '.join(sorted(known))}")


def _may_be_number(node: nodes.Node) -> bool:
    """Says whether an operand may turn out to be a number; what only a rendering can tell is refused there."""
    if isinstance(node, nodes.Const):
        return not isinstance(node.value, str)
    return not isinstance(node, nodes.List | nodes.Tuple | nodes.Dict | nodes.Concat)


@lru_cache(maxsize=256)
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)
