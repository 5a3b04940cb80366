"""An alias is moved, and the mover waits for the agents."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import promptwire
from tests.support.service import ServiceProcess

AGENT = """
import sys, promptwire
client = promptwire.Client(sys.argv[1], namespace=sys.argv[2], actor=sys.argv[3])
client.load_prompt("prompts:/greet@prod")
print("loaded", flush=True)
sys.stdin.read()
"""


@contextmanager
def agent(target: str, namespace: str, actor: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", AGENT, target, namespace, actor],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "loaded\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_stopped_agent_is_named_and_has_it_once_it_goes_on(
    service: ServiceProcess, client: promptwire.Client, namespace: str
) -> None:
    client.register_prompt("greet", "one")
    client.register_prompt("greet", "two")
    client.set_prompt_alias("greet", "prod", 1)
    with agent(service.target, namespace, "first"), agent(service.target, namespace, "second") as second:
        reached = client.set_prompt_alias("greet", "prod", 2, wait_for_agents=20).agents
        assert reached
        assert reached.complete
        assert reached.total == 2
        os.kill(second.pid, signal.SIGSTOP)
        missed = client.set_prompt_alias("greet", "prod", 1, wait_for_agents=0.5).agents
        assert missed
        assert not missed.complete
        assert [lag.client_name for lag in missed.lagging] == ["second"]
        assert client.convergence("greet", "prod")[0].agents.converged == 1
        os.kill(second.pid, signal.SIGCONT)
        again = client.set_prompt_alias("greet", "prod", 2, wait_for_agents=20).agents
        assert again
        assert (again.total, again.converged) == (2, 2)
