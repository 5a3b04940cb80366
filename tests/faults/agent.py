"""An agent in a process of its own: resolves one reference again and again, and tells each change that it sees.

`python -m tests.faults.agent TARGET REFERENCE PAUSE_SECONDS`; one JSON line a change on stdout, with the time on
the clock that all processes of a machine share (CLOCK_MONOTONIC, nanoseconds). Ends when its stdin does.
"""

import json
import sys
import threading
import time

import promptwire


def main() -> None:
    target, reference, pause_seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    seen = None
    with promptwire.Client(target, timeout_seconds=30) as client:
        # The pause is the agent's own pace: a dozen tight loops would leave the service no processor to run on.
        while not ended.wait(pause_seconds):
            prompt = client.load_prompt(reference)
            if prompt.version != seen:
                seen = prompt.version
                print(
                    json.dumps({"version": seen, "at_ns": time.monotonic_ns(), "template": prompt.template}), flush=True
                )


if __name__ == "__main__":
    main()
