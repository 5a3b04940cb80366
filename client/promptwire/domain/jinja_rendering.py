"""Renders a checked tree of the Jinja2 subset by walking it: nothing is compiled, and no method of Python's is called
by a name that a template gives.
"""

import operator
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, Final

from jinja2 import nodes

from promptwire.domain.jinja_budget import Budget, BudgetError, Missing
from promptwire.domain.jinja_filters import FILTERS, METHODS, check
from promptwire.domain.template import RenderingError

RANGE_MAX: Final = 100_000
FUNCTIONS: Final = ("namespace", "range")
LOOP_ATTRIBUTES: Final = ("first", "index", "index0", "last", "length", "nextitem", "previtem", "revindex", "revindex0")
_TAKE_MISSING: Final = ("d", "default")


def render(tree: nodes.Template, values: Mapping[str, object], budget: Budget) -> str:
    """Raises MissingVariablesError, RenderingError, and whatever the values themselves raise."""
    rendering = _Rendering(values, budget)
    rendering.run(tree.body)
    return "".join(map(budget.put_out, rendering.out))


class _Namespace(dict[str, Any]):
    """What `{% set name.attribute = ... %}` can change."""


class _Loop:
    """The variable `loop` of a loop."""

    def __init__(self, items: list[Any]) -> None:
        self._items = items
        self.length = len(items)
        self.index0 = 0

    index = property(lambda self: self.index0 + 1)
    revindex = property(lambda self: self.length - self.index0)
    revindex0 = property(lambda self: self.length - self.index0 - 1)
    first = property(lambda self: self.index0 == 0)
    last = property(lambda self: self.index0 == self.length - 1)
    previtem = property(lambda self: self._item(self.index0 - 1))
    nextitem = property(lambda self: self._item(self.index0 + 1))

    def _item(self, index: int) -> Any:
        return self._items[index] if 0 <= index < self.length else Missing("the loop has no item there")


class _Rendering:
    """The output so far, and the variables of each scope, innermost last."""

    __slots__ = ("budget", "out", "scopes")

    def __init__(self, values: Mapping[str, object], budget: Budget) -> None:
        self.budget = budget
        self.scopes: list[Any] = [values, {}]
        self.out: list[str] = []

    def run(self, body: Iterable[nodes.Node]) -> None:
        for node in body:
            self.budget.spend(1)
            NODES[node.__class__](self, node)

    def run_inside(self, body: Iterable[nodes.Node], scope: dict[str, Any]) -> None:
        self.scopes.append(scope)
        self.run(body)
        self.scopes.pop()

    def maybe(self, node: nodes.Node) -> Any:
        """An expression's value, or Missing."""
        self.budget.spend(1)
        return NODES[node.__class__](self, node)

    def value(self, node: nodes.Node) -> Any:
        """An expression's value. Raises MissingVariablesError and RenderingError where there is none."""
        value = self.maybe(node)
        if value.__class__ is Missing:
            value.fail()
        return value

    def values(self, several: Iterable[nodes.Node]) -> list[Any]:
        return [self.value(node) for node in several]

    def assign(self, target: nodes.Node, value: Any) -> None:
        if isinstance(target, nodes.Name):
            self.scopes[-1][target.name] = value
        elif isinstance(target, nodes.NSRef):
            namespace = self.value(nodes.Name(target.name, "load"))
            if not isinstance(namespace, _Namespace):
                raise RenderingError(f"{target.name} is no namespace, whose attributes can be set")
            namespace[target.attr] = value
        elif isinstance(target, nodes.Tuple):
            if isinstance(value, Missing):
                value.fail()
            items = [*islice(value, len(target.items) + 1)]
            if len(items) != len(target.items):
                raise RenderingError(f"there must be {len(target.items)} values for as many names")
            for inner, item in zip(target.items, items, strict=True):
                self.assign(inner, item)


def _output(on: _Rendering, node: Any) -> None:
    for part in node.nodes:
        if part.__class__ is nodes.TemplateData:
            on.budget.spend_chars(len(part.data))
            on.out.append(part.data)
        else:
            on.out.append(on.budget.text(on.value(part)))


def _for(on: _Rendering, node: Any) -> None:
    items = on.budget.items(on.value(node.iter))
    if node.test:
        items = [item for item in items if _passes(on, node, item)]
    loop = _Loop(items)
    for index, item in enumerate(items):
        loop.index0 = index
        on.scopes.append({"loop": loop})
        on.assign(node.target, item)
        on.budget.spend(1)
        on.run(node.body)
        on.scopes.pop()
    if not items:
        on.run_inside(node.else_, {})


def _passes(on: _Rendering, node: Any, item: Any) -> bool:
    on.scopes.append({})
    on.assign(node.target, item)
    passes = bool(on.value(node.test))
    on.scopes.pop()
    return passes


def _if(on: _Rendering, node: Any) -> None:
    for branch in (node, *node.elif_):
        if on.value(branch.test):
            on.run(branch.body)
            return
    on.run(node.else_)


def _assign(on: _Rendering, node: Any) -> None:
    on.assign(node.target, on.maybe(node.node))


def _assign_block(on: _Rendering, node: Any) -> None:
    outer, on.out = on.out, []
    on.run_inside(node.body, {})
    text, on.out = "".join(on.out), outer
    on.budget.spend_chars(len(text))
    on.assign(node.target, text)


def _name(on: _Rendering, node: Any) -> Any:
    for scope in reversed(on.scopes):
        if node.name in scope:
            return scope[node.name]
    return Missing("", node.name)


def _getitem(on: _Rendering, node: Any) -> Any:
    value, key = on.value(node.node), node.arg
    if key.__class__ is not nodes.Slice:
        return on.budget.item(value, on.value(key))
    bounds = [None if one is None else on.value(one) for one in (key.start, key.stop, key.step)]
    return on.budget.cut(value, slice(*bounds))


def _dict(on: _Rendering, node: Any) -> dict[Any, Any]:
    made = {}
    for pair in node.items:
        key = on.value(pair.key)
        on.budget.weigh(key)
        made[key] = on.value(pair.value)
    return made


def _call(on: _Rendering, node: Any) -> Any:
    args = on.values(node.args)
    if isinstance(node.node, nodes.Getattr):
        return METHODS[node.node.attr][0](on.budget, on.value(node.node.node), *args)
    if node.node.name == "namespace":
        return _Namespace({keyword.key: on.value(keyword.value) for keyword in node.kwargs})
    made = range(*args)
    if len(made) > RANGE_MAX:
        raise BudgetError(f"a range may have at most {RANGE_MAX:,} numbers; got {len(made):,}")
    return made


def _filter(on: _Rendering, node: Any) -> Any:
    value = on.maybe(node.node) if node.name in _TAKE_MISSING else on.value(node.node)
    kwargs = {keyword.key: on.value(keyword.value) for keyword in node.kwargs}
    return FILTERS[node.name](on.budget, value, *on.values(node.args), **kwargs)


def _test(on: _Rendering, node: Any) -> Any:
    return check(on.budget, node.name, on.maybe(node.node), *on.values(node.args))


def _concat(on: _Rendering, node: Any) -> str:
    texts = [on.budget.text(on.value(part)) for part in node.nodes]
    on.budget.spend_chars(sum(map(len, texts)))
    return "".join(texts)


def _compare(on: _Rendering, node: Any) -> Any:
    left = on.value(node.expr)
    for operand in node.ops:
        right = on.value(operand.expr)
        if operand.op in ("in", "notin"):
            holds = on.budget.contains(right, left) is (operand.op == "in")
        else:
            holds = on.budget.compare(getattr(operator, _COMPARISONS[operand.op]), left, right)
        if not holds:
            return holds
        left = right
    return holds


_COMPARISONS: Final = {"eq": "eq", "ne": "ne", "gt": "gt", "gteq": "ge", "lt": "lt", "lteq": "le"}


def _binary(operation: Callable[..., Any]) -> Callable[[_Rendering, Any], Any]:
    return lambda on, node: on.budget.calculate(operation, on.value(node.left), on.value(node.right))


def _sequence(kind: Callable[..., Any]) -> Callable[[_Rendering, Any], Any]:
    return lambda on, node: kind(on.values(node.items))


NODES: Final[dict[type[nodes.Node], Callable[[_Rendering, Any], Any]]] = {
    nodes.Output: _output,
    nodes.For: _for,
    nodes.If: _if,
    nodes.Assign: _assign,
    nodes.AssignBlock: _assign_block,
    nodes.Name: _name,
    nodes.Const: lambda on, node: node.value,
    nodes.Getattr: lambda on, node: on.budget.member(on.value(node.node), node.attr),
    nodes.Getitem: _getitem,
    nodes.List: _sequence(list),
    nodes.Tuple: _sequence(tuple),
    nodes.Dict: _dict,
    nodes.Call: _call,
    nodes.Filter: _filter,
    nodes.Test: _test,
    nodes.Concat: _concat,
    nodes.Compare: _compare,
    nodes.CondExpr: lambda on, node: (
        on.maybe(node.expr1)
        if on.value(node.test)
        else on.maybe(node.expr2)
        if node.expr2
        else Missing("an expression with `if` has no `else`")
    ),
    nodes.And: lambda on, node: left if not (left := on.value(node.left)) else on.maybe(node.right),
    nodes.Or: lambda on, node: left if (left := on.value(node.left)) else on.maybe(node.right),
    nodes.Not: lambda on, node: not on.value(node.node),
    nodes.Neg: lambda on, node: on.budget.calculate(operator.neg, on.value(node.node)),
    nodes.Pos: lambda on, node: on.budget.calculate(operator.pos, on.value(node.node)),
    nodes.Add: _binary(operator.add),
    nodes.Sub: _binary(operator.sub),
    nodes.Mul: _binary(operator.mul),
    nodes.Div: _binary(operator.truediv),
    nodes.FloorDiv: _binary(operator.floordiv),
    nodes.Mod: _binary(operator.mod),
}
"""The subset's statements and expressions; whatever is not here is refused."""
