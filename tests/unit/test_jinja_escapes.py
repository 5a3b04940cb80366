"""Published ways out of a template's sandbox lead nowhere."""

from collections.abc import Iterator

import pytest

from promptwire.domain import jinja
from promptwire.domain.jinja import JinjaTemplate
from promptwire.domain.template import MissingVariablesError, RenderingError, TemplateError


class User:
    name = "Ana"
    deleted = False

    def delete(self) -> str:
        self.deleted = True
        return "gone"


def a_generator() -> Iterator[int]:
    yield 1


ESCAPES = [
    # Of published lists of server-side template injections, and of Jinja2's own advisories.
    "{{ ''.__class__.__mro__ }}",
    "{{ ''['__class__']['__mro__'][1]['__subclasses__']() }}",
    "{{ ''|attr('__class__') }}",
    "{{ user.__init__.__globals__ }}",
    "{{ user['__init__']['__globals__'] }}",
    "{{ user['__dict__'] }}",
    "{{ user.delete() }}",
    "{{ user['delete']() }}",
    "{{ user.delete }}",
    "{{ user['delete'] }}",
    "{{ [user]|map(attribute='delete')|list }}",
    "{{ [user]|map(attribute='__class__')|list }}",
    "{{ [user]|map(attribute='name.__class__')|list }}",
    "{{ [user]|sort(attribute='__class__.__mro__') }}",
    "{{ [user]|selectattr('__class__')|list|length }}",
    "{{ (user|attr('delete'))() }}",
    "{{ '{0.__class__}'.format(user) }}",
    "{{ '{0.__class__}'.format_map({'a': user}) }}",
    "{{ ''.join.format }}",
    "{{ ['{0.__class__}']|map('format', user)|list }}",
    "{{ '%s'|format(user) }}",
    "{{ {}|xmlattr }}",
    "{{ xs.append(1) }}",
    "{{ xs.append }}",
    "{{ table.update({'a': 1}) }}",
    "{{ table.get.__self__ }}",
    "{{ range.__class__ }}",
    "{{ {}.fromkeys([1], 2) }}",
    "{{ self.__init__() }}",
    "{{ self._TemplateReference__context }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ lipsum.__globals__ }}",
    "{{ dict.mro() }}",
    "{{ config.items() }}",
    "{{ get_flashed_messages.__globals__ }}",
    "{{ user.name.__class__ }}",
    "{{ loop.__class__ }}",
    "{% for a in xs %}{{ loop._items }}{% endfor %}",
    "{% for a in xs %}{{ loop['_items'] }}{% endfor %}",
    "{{ generator.gi_frame.f_globals }}",
    "{{ generator['gi_frame'] }}",
    "{{ function.func_globals }}",
    "{{ function.__globals__ }}",
    "{{ module.path }}",
    "{{ module['path'] }}",
    "{{ kind.mro }}",
    "{{ kind['mro']() }}",
    "{{ error.tb.tb_frame }}",
    "{{ (1).real.__class__ }}",
    "{% set user.name = 'x' %}",
    "{% set table.k = 'x' %}",
    "{% import 'os' as os %}",
    "{% include '/etc/passwd' %}",
    "{% do xs.append(1) %}",
    "{% macro a() %}{{ caller.__globals__ }}{% endmacro %}",
    "{{ caller() }}",
    "{{ function() }}",
    "{{ xs|map('attr', '__class__')|list }}",
    "{{ xs|groupby('__class__') }}",
    "{{ user|pprint }}",
    "{{ debug }}{% debug %}",
]


@pytest.mark.parametrize("text", ESCAPES)
def test_an_escape_is_refused(text: str) -> None:
    user, xs, table = User(), [1], {"k": 1}
    values = {
        "user": user,
        "xs": xs,
        "table": table,
        "generator": a_generator(),
        "function": test_an_escape_is_refused,
        "module": jinja,
        "kind": User,
        "error": ValueError(),
    }
    with pytest.raises((RenderingError, TemplateError, MissingVariablesError)):
        JinjaTemplate(text).render(values)
    assert (user.deleted, xs, table) == (False, [1], {"k": 1})
