"""A fake of Langfuse's public REST API of prompts, as its reference describes it, on a real socket."""

import base64
import json
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PUBLIC_KEY, SECRET_KEY = "pk-lf-1", "sk-lf-1"


class FakeLangfuse:
    """Prompts by name, each a list of versions as the API tells them; and answers to give first, instead."""

    def __init__(self) -> None:
        self.prompts: dict[str, list[dict[str, Any]]] = {}
        self.first_answers: list[tuple[int, dict[str, str]]] = []
        """Status and headers."""
        self.raw_answers: list[bytes] = []
        """Bodies to give first, with status 200."""
        self.seconds_a_byte = 0.0
        """How long each byte of a body takes; 0 sends it at once."""
        self.asked: list[str] = []
        self.host = ""
        self.slow = threading.Event()
        """Set when the fake ends: nobody is kept waiting."""

    def add(self, name: str, prompt: Any, **told: Any) -> None:
        versions = self.prompts.setdefault(name, [])
        version = {
            "name": name,
            "version": told.pop("version", len(versions) + 1),
            "type": "text" if isinstance(prompt, str) else "chat",
            "prompt": prompt,
            "config": {},
            "labels": [],
            "tags": [],
            "commitMessage": None,
        }
        versions.append({**version, **told})

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        base = "/api/public/v2/prompts"
        if path == base:
            page, limit = int(query["page"][0]), int(query["limit"][0])
            names = sorted(self.prompts)
            data = [
                {"name": name, "versions": [one["version"] for one in self.prompts[name]], "labels": [], "tags": []}
                for name in names[(page - 1) * limit : page * limit]
            ]
            pages = -(-len(names) // limit)
            return 200, {"data": data, "meta": {"page": page, "limit": limit, "totalPages": pages}}
        name = urllib.parse.unquote(path.removeprefix(f"{base}/"))
        number = int(query["version"][0])
        found = [one for one in self.prompts.get(name, []) if one["version"] == number]
        assert query["resolve"] == ["false"]
        return (200, found[0]) if found else (404, {"message": "not found"})


@contextmanager
def fake_langfuse() -> Iterator[FakeLangfuse]:
    fake = FakeLangfuse()
    expected = "Basic " + base64.b64encode(f"{PUBLIC_KEY}:{SECRET_KEY}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fake.asked.append(self.path)
            parsed = urllib.parse.urlsplit(self.path)
            headers: dict[str, str] = {}
            if fake.first_answers:
                status, headers = fake.first_answers.pop(0)
                body: Any = {"message": "later"}
            elif self.headers["Authorization"] != expected:
                status, body = 401, {"message": "no"}
            else:
                status, body = fake.answer(parsed.path, urllib.parse.parse_qs(parsed.query))
            data = fake.raw_answers.pop(0) if fake.raw_answers else json.dumps(body).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            try:
                for part in (data[i : i + 1] for i in range(len(data))) if fake.seconds_a_byte else (data,):
                    self.wfile.write(part)
                    fake.slow.wait(fake.seconds_a_byte)
            except OSError:
                return  # whoever asked has gone

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    fake.host = f"http://127.0.0.1:{server.server_port}"
    try:
        yield fake
    finally:
        fake.slow.set()
        server.shutdown()
        thread.join()
        server.server_close()
