"""`python -m benchmarks [NAME ...] [--quick] [--json FILE]`: measures, prints a table and writes JSON.

Exit code 0 when everything was measured, whatever the numbers; 1 when something could not be; 130 after Ctrl-C.
"""

import argparse
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.cases import BY_NAME, NAMES
from benchmarks.support import report
from benchmarks.support.bench import Bench
from benchmarks.support.machine import facts
from benchmarks.support.processes import ending_undisturbed
from benchmarks.support.sampling import Comparison

DEFAULT_JSON: Final = Path(__file__).parent / "results" / "latest.json"


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console(width=None if sys.stdout.isatty() else 160)
    rows: list[Comparison] = []
    failed: list[str] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pw-bench-", dir=options.dir) as directory:
        machine = facts(Path(directory))
        try:
            bench = Bench(Path(directory), quick=options.quick, streams=options.streams)
            with bench, ending_undisturbed():
                for name in dict.fromkeys(options.names or NAMES):
                    with _told(console, name, failed):
                        rows += import_module(f"benchmarks.cases.{name}").run(bench)
        except KeyboardInterrupt:
            return 130
    machine["seconds"] = round(time.monotonic() - began, 1)
    report.show(console, rows)
    report.write_json(options.json, rows, machine, {"quick": options.quick, "streams": options.streams})
    console.print(
        f"{machine['cpu_count']} x {machine['processor']}, {machine['python']}, "
        f"{machine['data_directory_filesystem']}, {machine['seconds']} s; all numbers are in {options.json}",
        style="dim",
        highlight=False,
    )
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measures what the design promises to hold."
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"which: {', '.join(NAMES)}, all of these without any; and {', '.join(BY_NAME)}",
    )
    parser.add_argument("--quick", action="store_true", help="fewer repeats: half a minute, and more noise")
    parser.add_argument("--json", type=Path, default=DEFAULT_JSON, metavar="FILE", help=f"default {DEFAULT_JSON}")
    parser.add_argument(
        "--streams", type=int, default=1_000, metavar="N", help="streams of the largest flips; default 1000"
    )
    parser.add_argument(
        "--dir",
        default=None,
        metavar="DIR",
        help="where the store keeps its data meanwhile; its disk decides what an fsync costs",
    )
    options = parser.parse_args()
    known = (*NAMES, *BY_NAME)
    if unknown := [name for name in options.names if name not in known]:
        parser.error(f"there is no benchmark {unknown[0]}; there are {', '.join(known)}")
    if options.streams % 2 or not 2 <= options.streams <= 2_000:
        parser.error("--streams: an even number, at most 2000")
    return options


@contextmanager
def _told(console: Console, name: str, failed: list[str]) -> Iterator[None]:
    """Says what is under way, and goes on with the next when one fails."""
    began = time.monotonic()
    try:
        if console.is_terminal:
            with console.status(f"{name} ..."):
                yield
        else:
            yield
    except Exception:
        failed.append(name)
        traceback.print_exc()
        console.print(f"{name} failed", style="red")
    else:
        console.print(f"{name}: {time.monotonic() - began:.1f} s", style="dim", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
