"""Prompts of Langfuse, over its public REST API (v2 of prompts)."""

import base64
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from promptwire.errors import PromptwireError, UnavailableError
from promptwire.importing.carried import Carried, SourceVersion, Track

_PAGE: Final = 50
_TRIES: Final = 5
_TIMEOUT_SECONDS: Final = 30.0
_WAIT_MAX_SECONDS: Final = 30.0
_ANSWER_MAX_BYTES: Final = 64 << 20
_REFERENCE: Final = "@@@langfusePrompt:"
_LATEST: Final = "latest"


class Api:
    """A Langfuse project, read."""

    def __init__(
        self, host: str, public_key: str, secret_key: str, pause: Callable[[float], None] = time.sleep
    ) -> None:
        """`pause` waits before another try."""
        parsed = urllib.parse.urlsplit(host)
        if parsed.scheme not in ("http", "https") or not parsed.hostname:
            raise PromptwireError(f"host must be http(s)://..., got {host!r}", "INVALID_ARGUMENT")
        self.host = f"{parsed.scheme}://{parsed.hostname}" + (f":{parsed.port}" if parsed.port else "")
        self._base = f"{self.host}{parsed.path.rstrip('/')}/api/public/v2/prompts"
        token = base64.b64encode(f"{public_key}:{secret_key}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}", "Accept": "application/json"}
        self._pause = pause

    def prompts(self) -> Iterator[Mapping[str, Any]]:
        """What is told of each prompt: its name, versions, tags."""
        page = 1
        while True:
            answer = self._get("", {"page": page, "limit": _PAGE})
            yield from answer["data"]
            if page >= answer["meta"]["totalPages"]:
                return
            page += 1

    def version(self, name: str, number: int) -> Mapping[str, Any]:
        """With references to other prompts as they are written."""
        told: Mapping[str, Any] = self._get(
            f"/{urllib.parse.quote(name, safe='')}", {"version": number, "resolve": "false"}
        )
        return told

    def _get(self, path: str, query: Mapping[str, object]) -> Any:
        url = f"{self._base}{path}?{urllib.parse.urlencode(query)}"
        request = urllib.request.Request(url, headers=self._headers)
        for tried in range(1, _TRIES + 1):
            wait = min(2.0**tried / 2, _WAIT_MAX_SECONDS)
            try:
                with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
                    return json.loads(answer.read(_ANSWER_MAX_BYTES))
            except urllib.error.HTTPError as error:
                if error.code in (401, 403):
                    raise PromptwireError(
                        f"{self.host} refuses these keys; LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY have them",
                        "PERMISSION_DENIED",
                    ) from error
                if error.code != 429 and error.code < 500:
                    raise PromptwireError(f"{self.host} answered {error.code} to {url}", "UNEXPECTED_ANSWER") from error
                problem = f"answered {error.code}"
                wait = _retry_after(error) or wait
            except (OSError, TimeoutError) as error:
                problem = f"cannot be reached: {getattr(error, 'reason', error)}"
            except ValueError as error:
                raise PromptwireError(f"{self.host} did not answer with JSON to {url}", "UNEXPECTED_ANSWER") from error
            if tried < _TRIES:
                self._pause(wait)
        raise UnavailableError(f"{self.host} {problem}")


def read(api: Api, track: Track) -> Carried:
    """All prompts. `track` hands on what it is given, and may show how far that is."""
    carried = Carried(f"langfuse:{urllib.parse.urlsplit(api.host).netloc}")
    listed = list(api.prompts())
    for prompt in track(listed):
        _add(carried, api, prompt)
    return carried


def _add(carried: Carried, api: Api, prompt: Mapping[str, Any]) -> None:
    name = prompt["name"]
    versions: list[SourceVersion] = []
    aliases: dict[str, int] = {}
    for number in prompt["versions"]:
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


def _retry_after(error: urllib.error.HTTPError) -> float | None:
    told = error.headers.get("Retry-After", "")
    return min(float(told), _WAIT_MAX_SECONDS) if told.isdecimal() else None
