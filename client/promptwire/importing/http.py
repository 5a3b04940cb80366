"""JSON over HTTP from a server that is not trusted: bounded in time and size, redirects to its own origin only."""

import asyncio
import json
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self

import httpx

from promptwire.errors import PromptwireError, UnavailableError

TRIES: Final = 5
ANSWER_SECONDS: Final = 30.0
"""Total time for one answer, redirects included, in seconds: a server that sends a byte a second has no longer."""
ANSWER_MAX_BYTES: Final = 16 << 20
"""Maximum size of an answer once it is decompressed, in bytes."""
_REDIRECTS_MAX: Final = 3
_WAIT_MAX_SECONDS: Final = 30.0


class JsonApi:
    """Gets JSON from one origin, with the same headers each time. Close it after use.

    Attributes:
        origin: scheme, host and port, without credentials or a path.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        pause: Callable[[float], None],
        *,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """`pause` waits between two tries. Raises PromptwireError for a URL that is not http(s)."""
        try:
            self._url = httpx.URL(url)
        except (httpx.InvalidURL, ValueError) as error:
            raise PromptwireError(f"host must be http(s)://..., got {url!r}: {error}", "INVALID_ARGUMENT") from error
        if self._url.scheme not in ("http", "https") or not self._url.host:
            raise PromptwireError(f"host must be http(s)://..., got {url!r}", "INVALID_ARGUMENT")
        self._url = self._url.copy_with(userinfo=b"")
        self.origin = _origin(self._url)
        self._pause = pause
        self._answer_seconds = answer_seconds
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(
            headers={**headers, "Accept": "application/json"},
            timeout=httpx.Timeout(answer_seconds),
            follow_redirects=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    def get(self, path: str, query: Mapping[str, str | int], refused: str) -> Any:
        """Returns the JSON at a path below the URL; tries again while the server is busy or away.

        Raises PromptwireError with code PERMISSION_DENIED and the text `refused` for 401 and 403, with
        UNEXPECTED_ANSWER for what is not an answer of such an API, and UnavailableError after TRIES tries.
        """
        url = self._url.copy_with(raw_path=self._url.raw_path.rstrip(b"/") + path.encode()).copy_merge_params(query)
        problem = ""
        for tried in range(1, TRIES + 1):
            wait = min(2.0**tried / 2, _WAIT_MAX_SECONDS)
            try:
                status, headers, body = self._runner.run(self._fetch(url))
            except TimeoutError:
                problem = f"did not answer whole within {self._answer_seconds:g} s"
            except httpx.HTTPError as error:
                problem = f"cannot be reached: {str(error) or type(error).__name__}"
            else:
                if status in (401, 403):
                    raise PromptwireError(f"{self.origin} {refused}", "PERMISSION_DENIED")
                if status == 200:
                    return self._json(url, body)
                if status != 429 and status < 500:
                    raise self.unexpected(url.path, f"HTTP status {status}")
                problem = f"answered {status}"
                wait = _retry_after(headers) or wait
            if tried < TRIES:
                self._pause(wait)
        raise UnavailableError(f"{self.origin} {problem}, {TRIES} times")

    def unexpected(self, path: str, what: str) -> PromptwireError:
        """Returns the error for an answer that is not one of the API, and what it is instead."""
        return PromptwireError(f"{self.origin} gave an unexpected answer to {path}: {what}", "UNEXPECTED_ANSWER")

    async def _fetch(self, url: httpx.URL) -> tuple[int, httpx.Headers, bytes]:
        async with asyncio.timeout(self._answer_seconds):
            for _ in range(_REDIRECTS_MAX + 1):
                async with self._client.stream("GET", url) as answer:
                    if answer.next_request is None:
                        return answer.status_code, answer.headers, await self._read(answer)
                    target = answer.next_request.url
                if _origin(target) != self.origin:
                    # The keys are for this origin alone.
                    what = f"a redirect to {_origin(target)}; if that is the server that you mean, name it as the host"
                    raise self.unexpected(url.path, what)
                url = target
        raise self.unexpected(url.path, f"more than {_REDIRECTS_MAX} redirects")

    async def _read(self, answer: httpx.Response) -> bytes:
        body = bytearray()
        async for part in answer.aiter_bytes():
            body += part
            if len(body) > ANSWER_MAX_BYTES:
                raise self.unexpected(answer.url.path, f"more than {ANSWER_MAX_BYTES:,} bytes")
        return bytes(body)

    def _json(self, url: httpx.URL, body: bytes) -> Any:
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise self.unexpected(url.path, "no JSON") from error


def _origin(url: httpx.URL) -> str:
    return str(url.copy_with(userinfo=b"", raw_path=b"/", fragment=None)).rstrip("/")


def _retry_after(headers: httpx.Headers) -> float | None:
    said = headers.get("Retry-After", "")
    return min(float(said), _WAIT_MAX_SECONDS) if said.isdecimal() and len(said) < 10 else None
