"""A client and processes that are made of the one that has it, against a real service.

With GRPC_ENABLE_FORK_SUPPORT, as docs/adr/0002-client-core.md advises: without it grpc now and then crashes the child.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import promptwire
from tests.integration.forking import SCENARIOS
from tests.support.service import ServiceProcess

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_client_goes_on_in_parent_and_children(
    service: ServiceProcess, client: promptwire.Client, namespace: str, tmp_path: Path, scenario: str
) -> None:
    client.register_prompt("p", "one")
    client.register_prompt("p", "two")
    client.set_prompt_alias("p", "production", 1)
    command = [sys.executable, "-m", "tests.integration.forking", scenario, service.target, str(tmp_path / "snapshots")]
    environment = os.environ | {"GRPC_ENABLE_FORK_SUPPORT": "1", "PROMPTWIRE_NAMESPACE": namespace}
    # A session of its own, so that its children end with it, come what may.
    with subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True) as agent:
        try:
            assert agent.wait(90) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(agent.pid, signal.SIGKILL)


@pytest.mark.parametrize("kind", [promptwire.Client, promptwire.AsyncClient])
def test_a_client_is_not_pickled(kind: type[promptwire.Client]) -> None:
    with pytest.raises(TypeError, match=rf"make a new promptwire\.{kind.__name__} in the process"):
        pickle.dumps(kind("127.0.0.1:1", token="secret"))
