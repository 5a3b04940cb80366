"""An address that other machines reach is served only where that was asked for, and only the family that was named."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.service import running_service


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
def test_an_open_address_has_to_be_asked_for(tmp_path: Path, address: str) -> None:
    command = [
        sys.executable,
        "-m",
        "promptwire.cli",
        "serve",
        "--listen",
        address,
        "--data-dir",
        str(tmp_path / "data"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: --listen: whoever reaches \S+ could read and change .*--insecure.*\n", done.stderr)
    assert not (tmp_path / "data").exists()


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="this machine has no IPv6")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_every_ipv4_address_is_not_every_ipv6_address(tmp_path: Path, workers: str) -> None:
    arguments = ("--insecure", "--workers", workers)
    with running_service(tmp_path / "data", *arguments, host="0.0.0.0") as service:
        socket.create_connection(("127.0.0.1", service.port), timeout=10).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("::1", service.port), timeout=10)
        log = service.log_path.read_text()
        assert "INSECURE: whoever reaches this address may read and change every prompt" in log
