"""Sketches as tests put them together."""

from collections.abc import Iterable

from promptwire_service.domain.sketch import Sketch


def merged(sketches: Iterable[Sketch]) -> Sketch:
    total = Sketch()
    for sketch in sketches:
        total.merge(sketch)
    return total
