"""Random templates of the Jinja2 subset, and values that they use."""

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st


@dataclass
class Document:
    title: str
    score: float = 0.5

    @property
    def label(self) -> str:
        return f"<{self.title}>"


# Values of every kind, by names that say which.
VALUES: dict[str, Any] = {
    "text": "A b\nç",
    "number": 7,
    "real": 2.5,
    "yes": True,
    "no": None,
    "texts": ["s", "T", "s"],
    "numbers": [3, 1, 2],
    "table": {"k": 1, "l": "x"},
    "rows": [{"n": "b", "v": 2}, {"n": "A", "v": 1}],
    "doc": Document("t"),
}
# Each of one of them in its place of use, and what makes more of them.
texts: st.SearchStrategy[str] = st.deferred(
    lambda: st.one_of(
        st.sampled_from(
            ["text", "'x'", "'A-b'", "doc.title", "rows[0].n", "table['l']", "number|string", "missing|d('m')"]
        ),
        st.tuples(
            texts, st.sampled_from(["upper", "lower", "trim", "title", "capitalize", "string", "first", "reverse"])
        ).map("|".join),
        texts.map("{}|replace('x', 'yy')".format),
        texts.map("{}|indent(2)".format),
        texts.map("{}|truncate(3, true, '')".format),
        st.tuples(texts, texts).map(lambda of: f"({of[0]} ~ {of[1]})"),
        st.tuples(texts, texts).map(lambda of: f"({of[0]} + {of[1]})"),
        st.tuples(sequences, texts).map(lambda of: f"({of[0]})|join({of[1]})"),
        st.tuples(texts, st.sampled_from(["[1:]", "[::-1]", "[:2]"])).map(lambda of: f"({of[0]}){of[1]}"),
        texts.map("({}).strip()".format),
        st.tuples(truths, texts, texts).map(lambda of: f"({of[1]} if {of[0]} else {of[2]})"),
        st.just("doc.label"),
    )
)
numbers: st.SearchStrategy[str] = st.deferred(
    lambda: st.one_of(
        st.sampled_from(["number", "real", "1", "0", "rows[1].v", "table.k", "yes", "2.25", "numbers[0]"]),
        st.tuples(numbers, st.sampled_from(["+", "-", "*", "/", "//", "%"]), numbers).map(
            lambda of: f"({' '.join(of)})"
        ),
        numbers.map("(-{})".format),
        st.tuples(numbers, st.sampled_from(["int", "abs", "float", "round(1)"])).map("|".join),
        texts.map("{}|length".format),
        texts.map("{}|wordcount".format),
        st.sampled_from(["numbers|sum", "numbers|max", "rows|sum(attribute='v')", "texts|count"]),
    )
)
sequences: st.SearchStrategy[str] = st.deferred(
    lambda: st.one_of(
        st.sampled_from(["texts", "numbers", "rows|map(attribute='n')|list", "range(3)", "table", "[]", "(1, 'x')"]),
        st.lists(st.one_of(texts, numbers), max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.tuples(texts.map("[{}]".format), sequences.map("({})|list".format)).map(" + ".join).map("({})".format),
        st.tuples(
            st.sampled_from(["texts", "numbers", "rows|map(attribute='v')|list"]),
            st.sampled_from(
                ["sort", "unique|list", "reverse|list", "select|list", "map('string')|list", "reject('none')|list"]
            ),
        ).map("|".join),
        texts.map("({}).split()".format),
        st.sampled_from(
            ["rows|selectattr('v', 'gt', 1)|list", "rows|sort(attribute='n')", "table|dictsort", "table.items()|list"]
        ),
    )
)
truths: st.SearchStrategy[str] = st.deferred(
    lambda: st.one_of(
        st.sampled_from(["yes", "no", "text", "numbers", "missing is defined", "no is none", "doc is mapping", "true"]),
        st.tuples(numbers, st.sampled_from(["==", "<", ">=", "!="]), numbers).map(" ".join),
        st.tuples(texts, st.sampled_from(["in", "not in", "=="]), st.one_of(texts, sequences)).map(" ".join),
        st.tuples(truths, st.sampled_from(["and", "or"]), truths).map(lambda of: f"({' '.join(of)})"),
        truths.map("(not {})".format),
        numbers.map("({})|int is odd".format),
        texts.map("({}).startswith('A')".format),
    )
)
expressions = st.one_of(
    texts,
    numbers,
    sequences,
    truths,
    st.sampled_from(["missing", "doc.missing", "table.missing.x", "rows|tojson", "table|tojson(2)"]),
)
_bodies = st.recursive(
    st.one_of(
        st.text(st.characters(exclude_characters="{}%#\r\0", codec="utf-8"), max_size=5),
        expressions.map("{{{{ {} }}}}".format),
        expressions.map("{{{{- {} -}}}}".format),
    ),
    lambda inner: st.one_of(
        st.tuples(truths, inner, inner).map(lambda of: f"{{% if {of[0]} %}}{of[1]}{{% else %}}{of[2]}{{% endif %}}"),
        st.tuples(sequences, inner).map(
            lambda of: f"{{% for i in {of[0]} %}}{of[1]}{{{{ loop.index }}}}{{{{ i }}}}{{% else %}}-{{% endfor %}}"
        ),
        st.tuples(expressions, inner).map(lambda of: f"{{% set v = {of[0]} %}}{of[1]}{{{{ v }}}}"),
        inner.map("{{% set v %}}{}{{% endset %}}{{{{ v }}}}".format),
        st.lists(inner, max_size=3).map("".join),
    ),
    max_leaves=6,
)


def _is_shallow(text: str) -> bool:
    """Whether it is within the subset's bounds of nesting, by far."""
    return text.count("(") <= 16 and text.count("{%") <= 24


bodies = _bodies.filter(_is_shallow)
