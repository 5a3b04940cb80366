"""Whether a server can be the store: looked at once, at start, before anything is promised.

What the check says is read by whoever starts the service: one line that says what is wrong, what was found
and what to do. What a driver's or server's error means is in `problems.py`.
"""

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import structlog
from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, OutOfMemoryError, RedisError, ResponseError

from promptwire_service.storage.durability import Durability
from promptwire_service.storage.redis.connection import Connections
from promptwire_service.storage.redis.problems import (
    StoreRefusedError,
    StoreStartError,
    StoreUnreachableError,
    explained,
    location_of,
)
from promptwire_service.storage.redis.target import Kind, StoreTarget

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
            "hincrby": " f 1",
            "hgetall": "",
            "hlen": "",
            "hmget": " f",
            "hset": " f v",
            "unlink": "",
            "xadd": " 1-0 f v",
            "xrange": " - +",
            "xrevrange": " + -",
            "zadd": " 0 m",
            "zcard": "",
            "zlexcount": " - +",
            "zpopmin": "",
            "zrange": " 0 1",
            "zrangebylex": " - +",
            "zrangebyscore": " -inf +inf",
            "zrem": " m",
            "zremrangebyscore": " -inf 0",
            "zscore": " m",
        }.items()
    ),
    "evalsha 0 0",
    "scan 0",
    "info",
    "time",
)
"""What the store's scripts call, each as a whole command, for the server to check our rights."""
NOTIFY_COMMANDS = ("publish pw:notify:0 1", "subscribe pw:notify:0")
CLUSTER_COMMANDS = ("pubsub numsub pw:notify:0", "cluster slots")
"""What a Cluster needs besides."""

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


async def check_store(
    connections: Connections, target: StoreTarget, durability: Durability, replicas: int = 1
) -> ServerFacts:
    """What the store's servers are, if all of them can keep their part in this mode; facts of the first, all warnings.

    Raises as `check_server`.
    """
    try:
        primaries = await connections.primaries()
    except (RedisError, OSError) as error:
        raise _of_many(error, target) from error
    facts = [await check_server(primary, durability, kind=target.kind, replicas=replicas) for primary in primaries]
    warnings = dict.fromkeys(warning for found in facts for warning in found.warnings)
    if target.kind != "server" and durability is Durability.FSYNC:
        warnings[
            f"{target.location}: a fail-over loses acknowledged writes that the new primary did not have yet, though "
            f"they are on the old one's disk; --durability {Durability.REPLICATED} waits for replicas"
        ] = None
    return replace(facts[0], warnings=tuple(warnings))


def _of_many(error: BaseException, target: StoreTarget) -> StoreStartError:
    where = target.location
    message = str(error)
    if target.kind == "cluster" and "cluster support disabled" in message:
        return StoreRefusedError(f"{where} is not a Cluster: its first node has cluster-enabled no; use redis://")
    if target.kind == "cluster" and "unknown command" in message.lower():
        return StoreRefusedError(f"{where} is not a Cluster; is it a Sentinel (redis+sentinel://)?")
    if target.kind == "sentinel" and "unknown command" in message.lower():
        return StoreRefusedError(
            f"{where}: that is no Sentinel; is it a server (redis://) or a Cluster (redis+cluster://)?"
        )
    if target.kind == "sentinel" and "No master found" in message:
        return StoreUnreachableError(
            f"{where}: no Sentinel names a primary called {target.service_name!r} that is up; check hosts and name"
        )
    return explained(error, where)


async def check_server(
    client: Redis,
    durability: Durability,
    *,
    kind: Kind = "server",
    replicas: int = 1,
    loading_seconds: float = LOADING_SECONDS,
) -> ServerFacts:
    """What the server is, if it can keep the store in this mode.

    Raises StoreUnreachableError when it can't be reached or is still loading after `loading_seconds`, and
    StoreRefusedError when it answers but will not do.
    """
    where = location_of(client)
    try:
        info = await _loaded_info(client, where, loading_seconds)
        product, version = _identified(info, where)
        _refuse_role(info, where, kind)
        await _probe_write(client, info, where, _needed(kind, durability))
        warnings: tuple[str, ...] = ()
        match durability:
            case Durability.FSYNC:
                await _refuse_unless_fsync(client, where)
            case Durability.REPLICATED:
                _refuse_unless_replicated(info, where, replicas)
            case Durability.NONE:
                warnings = _warnings(info, where)
    except (RedisError, OSError, UnicodeDecodeError) as error:
        raise explained(error, where) from error
    return ServerFacts(product, version, warnings)


def _needed(kind: Kind, durability: Durability) -> tuple[str, ...]:
    """The commands that this kind of store, in this mode, calls."""
    cluster = CLUSTER_COMMANDS if kind == "cluster" else ()
    wait = ("wait 1 1",) if durability is Durability.REPLICATED else ()
    return (*NEEDED_COMMANDS, *NOTIFY_COMMANDS, *cluster, *wait)


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


def _refuse_role(info: Mapping[str, Any], where: str, kind: Kind) -> None:
    mode = info.get("server_mode") or info.get("redis_mode")
    if mode == "sentinel":
        raise StoreRefusedError(
            f"{where} is a Sentinel, which keeps no data; give redis+sentinel://host:port/name or the primary"
        )
    in_cluster = mode == "cluster" or str(info.get("cluster_enabled", "0")) == "1"
    if in_cluster and kind != "cluster":
        raise StoreRefusedError(f"{where} is a node of a Cluster; give redis+cluster://host:port")
    if info.get("role") == "slave":
        primary = f"{info.get('master_host')}:{info.get('master_port')}"
        raise StoreRefusedError(f"{where} is a replica of {primary}; give the primary")


async def _probe_write(client: Redis, info: Mapping[str, Any], where: str, commands: tuple[str, ...]) -> None:
    try:
        denied = await client.eval(_PROBE, 0, *commands)
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


def _refuse_unless_replicated(info: Mapping[str, Any], where: str, replicas: int) -> None:
    rows = [value for name, value in info.items() if re.fullmatch(r"slave\d+", name) and isinstance(value, dict)]
    online = sum(row.get("state") == "online" for row in rows)
    if online < replicas:
        raise StoreRefusedError(
            f"{where} has {online} replicas in sync: --durability {Durability.REPLICATED} wants {replicas}; "
            "connect more or set --replicas"
        )
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        raise StoreRefusedError(
            f"{where} can't hold --durability {Durability.REPLICATED}: maxmemory-policy is {policy} and must be "
            "noeviction; change that there or pick another --durability"
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
