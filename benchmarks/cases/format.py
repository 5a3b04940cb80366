"""`prompt.format(role=...)` of a 1 KB template with one variable, against `"".join` of its three parts.

The join is what has to happen whoever does it: the parts are at hand already, and their order is written into the
program. What `format` does beside it is to find the value by its name, turn it into text and notice when it is missing.
"""

from collections.abc import Iterator
from typing import Final

import promptwire
from benchmarks.support.bench import Bench, template
from benchmarks.support.sampling import Comparison, interleave, statement

CALLS: Final = 100_000


def run(bench: Bench) -> Iterator[Comparison]:
    prompt = promptwire.PromptVersion(name="telco", version=1, template=template("role"))
    head, _, tail = prompt.template.partition("{{role}}")
    assert prompt.format(role="engineer") == "".join((head, "engineer", tail))
    ours, floor = interleave(
        statement("prompt.format(role=role)", number=CALLS, prompt=prompt, role="engineer"),
        statement('"".join((head, role, tail))', number=CALLS, head=head, role="engineer", tail=tail),
        repeats=bench.pick(31, 11),
        seconds=bench.seconds / 4,
    )
    yield Comparison(
        benchmark="format",
        case=f"format, {len(prompt.template):,} B, one variable",
        floor_is='"".join of the parts',
        unit="ns",
        ours=ours,
        floor=floor,
        goal=4.0,
    )
