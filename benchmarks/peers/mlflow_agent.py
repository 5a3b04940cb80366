"""An agent that loads a prompt by MLflow without a pause, and says when another version has come, by the clock that all
processes of a machine share, in nanoseconds. It ends with its stdin.
"""

import os
import sys
import threading
import time

import mlflow


def _until_end_of_stdin(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def main(registry_uri: str, tracking_uri: str, reference: str) -> None:
    # What our plug-in has set in the process that started this one is not MLflow's default.
    for name in ("MLFLOW_ALIAS_PROMPT_CACHE_TTL_SECONDS", "MLFLOW_VERSION_PROMPT_CACHE_TTL_SECONDS"):
        os.environ.pop(name, None)
    mlflow.set_tracking_uri(tracking_uri)
    mlflow.set_registry_uri(registry_uri)
    ended = threading.Event()
    threading.Thread(target=_until_end_of_stdin, args=(ended,), daemon=True).start()
    known = mlflow.genai.load_prompt(reference).version
    print("ready", flush=True)
    while not ended.is_set():
        version = mlflow.genai.load_prompt(reference).version
        if version != known:
            known = version
            print(time.monotonic_ns(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
