"""Prompts that MLflow made without a version: in Promptwire a prompt begins with its first one, so that until then
they are an intent of this process.
"""

import threading
import time
from dataclasses import dataclass, field

from mlflow.entities.model_registry import RegisteredModel

from promptwire.mlflow.entities import registered_model_tags


@dataclass(frozen=True, slots=True)
class Intent:
    """What the prompt will have once it is there."""

    name: str
    description: str | None
    tags: dict[str, str]
    timestamp: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    """Milliseconds since 1970."""

    def as_registered_model(self) -> RegisteredModel:
        return RegisteredModel(
            name=self.name,
            creation_timestamp=self.timestamp,
            last_updated_timestamp=self.timestamp,
            description=self.description,
            latest_versions=[],
            tags=registered_model_tags(self.tags),
        )


class Pending:
    """Intents by name. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._intents: dict[str, Intent] = {}  # guarded by _lock

    def begin(self, intent: Intent) -> bool:
        """False if there is one already."""
        with self._lock:
            return self._intents.setdefault(intent.name, intent) is intent

    def get(self, name: str) -> Intent | None:
        with self._lock:
            return self._intents.get(name)

    def end(self, name: str) -> Intent | None:
        """What it was, if there was one."""
        with self._lock:
            return self._intents.pop(name, None)

    def change_tags(self, name: str, tags: dict[str, str | None]) -> bool:
        """Sets these, or removes those that are None; false if there is no such intent."""
        with self._lock:
            intent = self._intents.get(name)
            if intent is None:
                return False
            kept = {key: value for key, value in {**intent.tags, **tags}.items() if value is not None}
            self._intents[name] = Intent(name, intent.description, kept, intent.timestamp)
            return True
