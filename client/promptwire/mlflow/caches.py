"""What lies between an agent and the live table, and how it is kept from answering with what is old."""

import os
import threading
import time
from typing import Final

from mlflow.entities.model_registry import Prompt

from promptwire.prompt_version import PromptVersion

_CACHE_SETTINGS: Final = ("MLFLOW_ALIAS_PROMPT_CACHE_TTL_SECONDS", "MLFLOW_VERSION_PROMPT_CACHE_TTL_SECONDS")
_LINKING_THREAD: Final = "link_prompt_to_experiment_thread"
_LINKED_SECONDS: Final = 60.0
_LINKED_MAX: Final = 10_000
_PAIR_SECONDS: Final = 1.0


def turn_off_prompt_cache() -> None:
    """MLflow keeps what an alias meant for a minute, and a version's tags and aliases for ever; the client's table has
    both, kept right by pushes. Who has set these keeps what he has set.
    """
    for name in _CACHE_SETTINGS:
        os.environ.setdefault(name, "0")


class Answered:
    """Each thread's last answer for an alias: MLflow asks for the same version by its number right after, and gets it
    as it was found, even if the alias has moved or the version was deleted in between.
    """

    def __init__(self) -> None:
        self._threads = threading.local()
        self._writes = 0

    def put(self, version: PromptVersion) -> None:
        self._threads.last = (version, self._writes, time.monotonic())

    def take(self, name: str, number: int) -> PromptVersion | None:
        """Once, and only if nothing was asked for or written since."""
        last: tuple[PromptVersion, int, float] | None = self._threads.__dict__.pop("last", None)
        if last is None:
            return None
        version, writes, at = last
        same = (version.name, version.version, self._writes) == (name, number, writes)
        return version if same and time.monotonic() - at < _PAIR_SECONDS else None

    def forget(self) -> None:
        self._writes += 1


class LinkedPrompts:
    """Prompts as MLflow's linking threads saw them. It starts one for every load, which looks whether the prompt is
    tagged with the experiment: that is answered from here, for a minute, so that loads cost the service nothing.
    """

    def __init__(self) -> None:
        self._prompts: dict[str, tuple[Prompt, float]] = {}

    def get(self, name: str) -> Prompt | None:
        if not _is_linking():
            return None
        prompt, at = self._prompts.get(name, (None, 0.0))
        return prompt if time.monotonic() - at < _LINKED_SECONDS else None

    def put(self, prompt: Prompt) -> None:
        if not _is_linking():
            return
        if len(self._prompts) >= _LINKED_MAX:
            self._prompts.clear()
        self._prompts[prompt.name] = (prompt, time.monotonic())

    def forget(self, name: str) -> None:
        self._prompts.pop(name, None)


def _is_linking() -> bool:
    return threading.current_thread().name.startswith(_LINKING_THREAD)
