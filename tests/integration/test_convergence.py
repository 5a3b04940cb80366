"""An alias is moved, and the mover waits for the agents."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

import promptwire
from tests.integration.test_cli import PROMPTWIRE, environment
from tests.support import topologies
from tests.support.service import ServiceProcess, running_service
from tests.support.topologies import Topology

AGENT = """
import sys, promptwire
client = promptwire.Client(sys.argv[1], namespace=sys.argv[2], actor=sys.argv[3])
client.wait_for_ready(["prompts:/greet@prod"], timeout=30)
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


@pytest.mark.parametrize("run_store", [topologies.standalone, topologies.cluster])
def test_agents_of_all_services_of_a_store_are_counted_and_a_dead_service_is_not_waited_for(
    tmp_path: Path, run_store: Callable[..., AbstractContextManager[Topology]]
) -> None:
    with ExitStack() as stack:
        store = stack.enter_context(run_store(*topologies.FSYNC))
        services = [
            stack.enter_context(running_service(tmp_path / str(number) / "data", store=store.url))
            for number in range(2)
        ]
        client = stack.enter_context(promptwire.Client(services[0].target))
        client.register_prompt("greet", "one")
        client.register_prompt("greet", "two")
        client.set_prompt_alias("greet", "prod", 1)
        for number, service in enumerate([services[0], services[1], services[1]]):
            stack.enter_context(agent(service.target, "default", f"agent-{number}"))
        both = client.set_prompt_alias("greet", "prod", 2, wait_for_agents=20).agents
        assert both
        assert (both.total, both.converged, both.unheard_services, both.complete) == (3, 3, 0, True)
        assert sum(both.delay_counts) == 3
        services[1].kill()
        rest = client.set_prompt_alias("greet", "prod", 1, wait_for_agents=5).agents
        assert rest
        assert (rest.total, rest.converged) == (1, 1)


def test_a_service_that_is_paused_is_missed(tmp_path: Path) -> None:
    with ExitStack() as stack:
        store = stack.enter_context(topologies.standalone(*topologies.FSYNC))
        one, two = (
            stack.enter_context(running_service(tmp_path / str(number) / "data", store=store.url))
            for number in range(2)
        )
        client = stack.enter_context(promptwire.Client(one.target))
        client.register_prompt("greet", "one")
        client.set_prompt_alias("greet", "prod", 1)
        stack.enter_context(agent(two.target, "default", "elsewhere"))
        os.kill(two.process.pid, signal.SIGSTOP)
        stack.callback(os.kill, two.process.pid, signal.SIGCONT)
        missed = client.set_prompt_alias("greet", "prod", 1, wait_for_agents=0.2).agents
        assert missed
        assert (missed.unheard_services, missed.complete) == (1, False)


def run(service: ServiceProcess, namespace: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    env = environment(PROMPTWIRE_TARGET=service.target, PROMPTWIRE_NAMESPACE=namespace)
    return subprocess.run([*PROMPTWIRE, *arguments], capture_output=True, text=True, env=env, timeout=60, check=False)


def test_the_command_line_waits_and_tells(service: ServiceProcess, client: promptwire.Client, namespace: str) -> None:
    client.register_prompt("greet", "one")
    client.set_prompt_alias("greet", "prod", 1)
    with agent(service.target, namespace, "billing-bot") as bot:
        moved = run(service, namespace, "alias", "set", "greet", "prod", "1", "--wait", "20")
        assert moved.returncode == 0, moved.stderr
        assert "1 of 1 agents have it (half within" in moved.stdout
        os.kill(bot.pid, signal.SIGSTOP)
        missed = run(service, namespace, "alias", "rm", "greet", "prod", "--wait", "0.2")
        assert missed.returncode == 1
        assert "0 of 1 agents have it" in missed.stdout
        assert "does not have it: billing-bot" in missed.stderr
        assert "the alias is changed all the same" in missed.stderr
        told = json.loads(run(service, namespace, "status", "--json").stdout)["alias_changes"]
        assert [one["agents"]["converged"] for one in told] == [0, 1, 1]
        assert told[0]["agents"]["lagging"][0]["client_name"] == "billing-bot"
        os.kill(bot.pid, signal.SIGCONT)


def test_status_can_be_watched_until_ctrl_c(service: ServiceProcess, client: promptwire.Client, namespace: str) -> None:
    client.register_prompt("greet", "one")
    client.set_prompt_alias("greet", "prod", 1)
    env = environment(PROMPTWIRE_TARGET=service.target, PROMPTWIRE_NAMESPACE=namespace)
    command = [*PROMPTWIRE, "status", "--watch", "--json", "--interval", "0.1"]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    watching = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    try:
        assert watching.stdout
        (change,) = json.loads(watching.stdout.readline())
        assert (change["name"], change["alias"], change["version"]) == ("greet", "prod", 1)
        client.set_prompt_alias("greet", "prod", 1)
        while len(json.loads(watching.stdout.readline())) < 2:
            pass
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 0
    finally:
        watching.kill()
        watching.communicate()
