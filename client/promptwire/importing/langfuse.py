"""Prompts of Langfuse, over its public REST API (v2 of prompts)."""

import base64
import json
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Final

from promptwire.importing.carried import Carried, SourceVersion, Track
from promptwire.importing.http import ANSWER_SECONDS, JsonApi

PAGES_MAX: Final = 10_000
VERSIONS_MAX: Final = 100_000
"""Maximum number of versions of one prompt."""
_PAGE: Final = 50
_REFERENCE: Final = "@@@langfusePrompt:"
_LATEST: Final = "latest"
_PROMPTS: Final = "/api/public/v2/prompts"
_REFUSED: Final = "refuses these keys; LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY have them"


class Api(AbstractContextManager["Api"]):
    """A Langfuse project, read. Close it after use."""

    def __init__(
        self,
        host: str,
        public_key: str,
        secret_key: str,
        pause: Callable[[float], None] = time.sleep,
        *,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """`pause` waits before another try; an answer may take `answer_seconds` in total."""
        token = base64.b64encode(f"{public_key}:{secret_key}".encode()).decode()
        self._http = JsonApi(host, {"Authorization": f"Basic {token}"}, pause, answer_seconds=answer_seconds)
        self.host = self._http.origin

    def __exit__(self, *error: Any) -> None:
        self._http.__exit__(*error)

    def prompts(self) -> Iterator[tuple[str, list[int]]]:
        """Yields each prompt's name and the numbers of its versions."""
        names: set[str] = set()
        for page in range(1, PAGES_MAX + 1):
            answer = self._http.get(_PROMPTS, {"page": page, "limit": _PAGE}, _REFUSED)
            listed = self._field(_PROMPTS, answer, "data", list)
            pages = self._field(_PROMPTS, self._field(_PROMPTS, answer, "meta", dict), "totalPages", int)
            for prompt in listed:
                name = self._field(_PROMPTS, prompt, "name", str)
                numbers = self._field(_PROMPTS, prompt, "versions", list)
                if not all(type(number) is int and number > 0 for number in numbers) or len(numbers) > VERSIONS_MAX:
                    what = f"the versions of {name!r} are not at most {VERSIONS_MAX:,} positive integers"
                    raise self._http.unexpected(_PROMPTS, what)
                if name not in names:  # pages shift while somebody adds a prompt
                    yield name, numbers
            known = len(names)
            names.update(prompt["name"] for prompt in listed)
            if page >= pages or not listed:
                return
            if len(names) == known:
                raise self._http.unexpected(_PROMPTS, f"page {page} of {pages} has nothing that earlier pages had not")
        raise self._http.unexpected(_PROMPTS, f"more than {PAGES_MAX:,} pages")

    def version(self, name: str, number: int) -> Mapping[str, Any]:
        """Returns a version, with references to other prompts as they are written."""
        path = f"{_PROMPTS}/{urllib.parse.quote(name, safe='')}"
        found = self._http.get(path, {"version": number, "resolve": "false"}, _REFUSED)
        self._field(path, found, "prompt", (str, list))
        for key in ("labels", "tags"):
            texts = self._field(path, found, key, (list, type(None)))
            if not all(isinstance(text, str) for text in texts or ()):
                raise self._http.unexpected(path, f"{key!r} is not a list of strings")
        self._field(path, found, "commitMessage", (str, type(None)))
        answer: Mapping[str, Any] = found
        return answer

    def _field(self, path: str, value: Any, key: str, kind: type | tuple[type, ...]) -> Any:
        """Returns what an object of an answer has under a key; what is missing is None."""
        if not isinstance(value, dict):
            raise self._http.unexpected(path, f"a JSON {type(value).__name__} in place of an object")
        found = value.get(key)
        if not isinstance(found, kind):
            raise self._http.unexpected(path, f"{key!r} is a JSON {type(found).__name__}")
        return found


def read(api: Api, track: Track) -> Carried:
    """All prompts. `track` hands on what it is given, and may show how far that is."""
    carried = Carried(f"langfuse:{urllib.parse.urlsplit(api.host).netloc}")
    listed = list(api.prompts())
    for prompt in track(listed):
        _add(carried, api, prompt)
    return carried


def _add(carried: Carried, api: Api, prompt: tuple[str, list[int]]) -> None:
    name, numbers = prompt
    versions: list[SourceVersion] = []
    aliases: dict[str, int] = {}
    for number in numbers:
        told = api.version(name, number)
        aliases |= dict.fromkeys((label for label in told.get("labels") or () if label != _LATEST), number)
        if _REFERENCE in json.dumps(told["prompt"]):
            carried.lost(
                name, number, "the version", "it refers to other prompts; write {{> prompts:/name@alias }} instead"
            )
            continue
        config = told.get("config") or None
        if config is not None and not isinstance(config, dict):
            carried.lost(name, number, "its config", f"must be an object; is a JSON {type(config).__name__}")
            config = None
        versions.append(
            SourceVersion(
                number=number,
                template=_template(told["prompt"]),
                commit_message=told.get("commitMessage") or "",
                tags=dict.fromkeys(told.get("tags") or (), "true"),
                model_config=config,
                author=str(told.get("createdBy") or ""),
                created_ms=_milliseconds(told.get("createdAt")),
            )
        )
    carried.add(name, versions, aliases)


def _template(prompt: Any) -> Any:
    """Messages without the `type` that only tells them from placeholders."""
    if isinstance(prompt, str):
        return prompt
    return [
        {key: value for key, value in message.items() if key != "type" or value == "placeholder"}
        if isinstance(message, dict)
        else message
        for message in prompt
    ]


def _milliseconds(text: object) -> int | None:
    if not isinstance(text, str):
        return None
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1_000)
    except ValueError:
        return None
