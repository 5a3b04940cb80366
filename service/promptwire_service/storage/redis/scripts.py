"""The Lua scripts, read from `lua/` and run by their hash."""

import hashlib
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

_LUA = files(__package__).joinpath("lua")
_PRELUDE = _LUA.joinpath("prelude.lua").read_text()


class Script:
    """One script, preceded by the shared prelude and by the libraries that it uses."""

    def __init__(self, name: str, *libraries: str) -> None:
        shebang, body = _LUA.joinpath(f"{name}.lua").read_text().split("\n", 1)
        shared = "".join(_LUA.joinpath(f"{library}.lua").read_text() for library in libraries)
        self._text = f"{shebang}\n{_PRELUDE}{shared}{body}"
        self._hash = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, redis: Redis, key: str | None, *arguments: str | int) -> Any:
        """Runs it on the namespace of `key`, or on none. A server that lacks it (NOSCRIPT: nothing ran) is sent its
        text.
        """
        declared = (key,) if key is not None else ()
        try:
            return await redis.evalsha(self._hash, len(declared), *declared, *arguments)
        except NoScriptError:
            return await redis.eval(self._text, len(declared), *declared, *arguments)
