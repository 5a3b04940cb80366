"""The benchmarks, a file each: `run(bench)` yields rows. A file's docstring says what is compared to what, and why."""

from typing import Final

NAMES: Final = (
    "hit",
    "handle",
    "format",
    "imports",
    "resolve",
    "flip",
    "flip_stalled",
    "flip_reports",
    "flip_clients",
    "set_alias",
    "search",
)
"""In the order in which they run: those that nothing must disturb come first."""

BY_NAME: Final = ("namespaces", "overload", "mlflow")
"""Those that run only when they are asked for, since they take minutes."""
