"""`python -m benchmarks.demo`: agents follow an alias as it moves. Takes about 15 s, starts everything it needs, leaves
nothing behind.

Exit code 0 when every agent saw every flip in order, 1 when one did not or something could not be started, 130 after
Ctrl-C.
"""

import argparse
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from benchmarks.demo import report
from benchmarks.demo.run import Plan, run
from benchmarks.support.processes import ProcessError
from promptwire import PromptwireError


def main() -> int:
    options = _options()
    console = Console(width=None if sys.stdout.isatty() else 120)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    plan = Plan(agents=options.agents, flips=options.flips, pace_seconds=options.pace)
    screen = report.Screen(console, plan)
    try:
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pw-demo-")))
            stack.enter_context(screen.progress)
            outcome = run(plan, directory, screen)
    except KeyboardInterrupt:
        console.print("Interrupted; everything that was started has ended.")
        return 130
    except (ProcessError, PromptwireError) as error:
        console.print(f"The demo could not go on: {error}", style="red", highlight=False, markup=False)
        return 1
    report.show(console, outcome)
    if options.json:
        report.write_json(options.json, outcome)
    return 1 if outcome.faults else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.demo", description="Agents follow an alias as it moves."
    )
    plan = Plan()
    parser.add_argument("--agents", type=int, default=plan.agents, metavar="N", help=f"1-16; default {plan.agents}")
    parser.add_argument("--flips", type=int, default=plan.flips, metavar="N", help=f"1-200; default {plan.flips}")
    parser.add_argument(
        "--pace",
        type=float,
        default=plan.pace_seconds,
        metavar="SECONDS",
        help=f"between flips, 0-5; default {plan.pace_seconds:g}",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write a summary there")
    options = parser.parse_args()
    for name, most in (("agents", 16), ("flips", 200)):
        if not 1 <= getattr(options, name) <= most:
            parser.error(f"--{name}: a whole number from 1 to {most}")
    if not 0 <= options.pace <= 5:
        parser.error("--pace: a number of seconds from 0 to 5")
    return options


if __name__ == "__main__":
    sys.exit(main())
