"""Whether a server can be the store: looked at once, at start, before anything is promised.

What the check says is read by whoever starts the service: one line that says what is wrong, what was found
and what to do. What a driver's or server's error means is in `problems.py`.
"""

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import structlog
from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, OutOfMemoryError, RedisError, ResponseError

from promptwire_service.storage.durability import Durability
from promptwire_service.storage.redis.problems import (
    StoreRefusedError,
    StoreUnreachableError,
    explained,
    location_of,
)

_log = structlog.get_logger(__name__)

LOADING_SECONDS = 60.0
"""How long a server that is still reading its data from disk is waited for."""
_LOADING_LOG_SECONDS = 5.0

OLDEST_VERSIONS = {"redis": (7, 0), "valkey": (7, 2)}
"""From these on, a server that is out of memory, read-only or unable to persist refuses a `#!lua` script
before its first line."""

_FSYNC_SETTINGS = {
    "appendonly": "yes",
    "appendfsync": "always",
    # With "yes", a server that rewrites its log leaves fsync out meanwhile, also under `appendfsync always`.
    "no-appendfsync-on-rewrite": "no",
    "maxmemory-policy": "noeviction",
}

NEEDED_COMMANDS = (
    *(
        f"{command} pw:{{default}}:meta{arguments}"
        for command, arguments in {
            "exists": "",
            "expire": " 1",
            "hdel": " f",
            "hexists": " f",
            "hget": " f",
            "hgetall": "",
            "hincrby": " f 1",
            "hkeys": "",
            "hlen": "",
            "hmget": " f",
            "hset": " f v",
            "hsetnx": " f v",
            "xadd": " 1-0 f v",
            "xrange": " - +",
            "zadd": " 0 m",
            "zrangebylex": " - +",
        }.items()
    ),
    "evalsha 0 0",
    "info",
    "publish pw:{default}:bell 1",
    "subscribe pw:{default}:bell",
    "time",
)
"""What the store's scripts and the bell call, each as a whole command, for the server to check our rights."""

# With `#!lua` and no flags this counts as a script that writes: it is refused whenever a write would be. It
# writes nothing; `acl_check_cmd` answers for the user who runs the script.
_PROBE = """#!lua
local denied = {}
for _, command in ipairs(ARGV) do
  local words = {}
  for word in string.gmatch(command, '%S+') do words[#words + 1] = word end
  if not redis.acl_check_cmd(unpack(words)) then denied[#denied + 1] = words[1] end
end
return denied
"""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the store runs on, as found at start."""

    product: Literal["redis", "valkey"]
    version: tuple[int, ...]
    warnings: tuple[str, ...] = ()
    """What the one who starts the service has to know, a sentence each; to be shown loudly."""

    @property
    def text(self) -> str:
        """As in `valkey 9.1.2`."""
        return f"{self.product} {'.'.join(map(str, self.version))}"


async def check_server(
    client: Redis, durability: Durability, *, loading_seconds: float = LOADING_SECONDS
) -> ServerFacts:
    """What the server is, if it can keep the store in this mode.

    Raises StoreUnreachableError when it can't be reached or is still loading after `loading_seconds`, and
    StoreRefusedError when it answers but will not do.
    """
    where = location_of(client)
    try:
        info = await _loaded_info(client, where, loading_seconds)
        product, version = _identified(info, where)
        _refuse_role(info, where)
        await _probe_write(client, info, where)
        warnings: tuple[str, ...] = ()
        match durability:
            case Durability.FSYNC:
                await _refuse_unless_fsync(client, where)
            case Durability.NONE:
                warnings = _warnings(info, where)
    except (RedisError, OSError, UnicodeDecodeError) as error:
        raise explained(error, where) from error
    return ServerFacts(product, version, warnings)


async def _loaded_info(client: Redis, where: str, loading_seconds: float) -> dict[str, Any]:
    """INFO, once the server has its data in memory."""
    deadline = time.monotonic() + loading_seconds
    next_log = 0.0
    while True:
        try:
            info = await client.info()
            if not int(info.get("loading", 0)):
                return info
            progress = f"{info.get('loading_loaded_perc', '?')} %"
        except BusyLoadingError:
            progress = "?"
        now = time.monotonic()
        if now >= deadline:
            raise StoreUnreachableError(
                f"{where} is still loading its data after {loading_seconds:g} s (at {progress}); "
                "start again when it is done"
            )
        if now >= next_log:
            _log.info("waiting for the store to load its data", store=where, loaded=progress)
            next_log = now + _LOADING_LOG_SECONDS
        await asyncio.sleep(min(0.1, deadline - now))


def _identified(info: Mapping[str, Any], where: str) -> tuple[Literal["redis", "valkey"], tuple[int, ...]]:
    # Valkey reports redis_version 7.2.4 for good, for clients that look for it, and its own beside it.
    product: Literal["redis", "valkey"] = "valkey" if "valkey_version" in info else "redis"
    reported = str(info.get(f"{product}_version", ""))
    version = tuple(map(int, re.findall(r"\d+", reported)[:3]))
    if not version:
        raise StoreRefusedError(f"{where} answers, but not as Redis or Valkey do; check host and port")
    if version < OLDEST_VERSIONS[product]:
        raise StoreRefusedError(f"{where} is {product} {reported}, which is too old; use Redis >= 7.0 or Valkey >= 7.2")
    return product, version


def _refuse_role(info: Mapping[str, Any], where: str) -> None:
    mode = info.get("server_mode") or info.get("redis_mode")
    if mode == "sentinel":
        raise StoreRefusedError(f"{where} is a Sentinel, which keeps no data; give the primary")
    if mode == "cluster" or str(info.get("cluster_enabled", "0")) == "1":
        raise StoreRefusedError(
            f"{where} runs in cluster mode, which is not supported yet; use a server with cluster-enabled no"
        )
    if info.get("role") == "slave":
        primary = f"{info.get('master_host')}:{info.get('master_port')}"
        raise StoreRefusedError(f"{where} is a replica of {primary}; give the primary")


async def _probe_write(client: Redis, info: Mapping[str, Any], where: str) -> None:
    try:
        denied = await client.eval(_PROBE, 0, *NEEDED_COMMANDS)
    except OutOfMemoryError as error:
        used, limit = (info.get(f"{name}_human", info.get(name, "?")) for name in ("used_memory", "maxmemory"))
        raise StoreRefusedError(
            f"{where} is full: it uses {used} of maxmemory {limit} and evicts nothing that would help "
            f"(maxmemory-policy {info.get('maxmemory_policy', '?')}); raise maxmemory or free memory"
        ) from error
    if denied:
        raise StoreRefusedError(
            f"{where} does not permit our user {', '.join(denied)} on Promptwire's keys and channels; "
            "give it these commands and ~pw:* &pw:*"
        )


async def _refuse_unless_fsync(client: Redis, where: str) -> None:
    found: Mapping[str | None, str | None]
    try:
        found = await client.config_get(*_FSYNC_SETTINGS)
    except ResponseError:
        # Forbidden by an ACL, or renamed away as managed services do.
        found = {}
    if not found.keys() >= _FSYNC_SETTINGS.keys():
        raise StoreRefusedError(
            f"{where} does not let us read its configuration (CONFIG GET): "
            f"--durability {Durability.FSYNC} can't be verified; permit it or pick another --durability"
        )
    wrong = [
        f"{name} is {found[name]} and must be {value}"
        for name, value in _FSYNC_SETTINGS.items()
        if found[name] != value
    ]
    if wrong:
        raise StoreRefusedError(
            f"{where} can't hold --durability {Durability.FSYNC}: {'; '.join(wrong)}; "
            "change that there or pick another --durability"
        )


def _warnings(info: Mapping[str, Any], where: str) -> tuple[str, ...]:
    found = [f"--durability {Durability.NONE}: acknowledged writes may be lost when {where} or its machine stops"]
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy.startswith("volatile-"):
        found.append(
            f"{where} evicts keys that expire (maxmemory-policy {policy}): it may forget the answer to a "
            "write, and a repeat of that write would happen again"
        )
    elif policy != "noeviction":
        found.append(f"{where} evicts keys (maxmemory-policy {policy}): prompts may vanish at any time")
    return tuple(found)
