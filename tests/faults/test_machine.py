"""A state machine drives two services on one store, an agent and a watcher, over real sockets, against a model.

What is asked strongly is compared with the model at once; everything else is recorded and goes to the checkers.
"""

import copy
import time
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.faults.checkers import violations
from tests.faults.history import Op
from tests.faults.raw import Raw
from tests.faults.stage import Stage
from tests.faults.streams import FeedReader, Watcher
from tests.faults.workload import Agent

NS = "red"
names = st.sampled_from(["greeting", "folder/billing"])
aliases = st.sampled_from(["production", "staging"])
services = st.integers(0, 1)


@dataclass
class Prompt:
    """What the model knows of one."""

    texts: list[str] = field(default_factory=list)
    aliases: dict[str, int] = field(default_factory=dict)


class Machine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.stage = Stage()
        self.prompts = {"greeting": Prompt(), "folder/billing": Prompt()}
        self.addresses = [self.stage.serve(), self.stage.serve()]
        self.raws = [Raw(f"raw{number}", address, self.stage.history) for number, address in enumerate(self.addresses)]
        target = "ipv4:" + ",".join(self.addresses)
        self.agent = Agent("agent", target, NS, 1, self.stage.history, lease_seconds=1.0, renew_seconds=0.05)
        self.backup: tuple[object, dict[str, Prompt]] | None = None
        for name in self.prompts:
            self.register(0, name)
        follows = {name: ["production", "ab", "latest"] for name in self.prompts}
        history = self.stage.history
        self.watcher = Watcher("watch", self.addresses[0], NS, follows, 1, history, renew_seconds=0.05)
        self.feed = FeedReader("feed", self.addresses[1], NS, history)

    @rule(by=services, name=names)
    def register(self, by: int, name: str) -> None:
        raw, prompt = self.raws[by], self.prompts[name]
        text = f"{name} {len(prompt.texts) + 1}"
        op = raw.register(NS, name, text, raw.request_id())
        prompt.texts.append(text)
        assert op.version == len(prompt.texts)

    @rule(
        by=services,
        name=names,
        alias=aliases,
        version=st.integers(1, 3),
        expected=st.none() | st.integers(0, 3),
        repeats=st.booleans(),
    )
    def set_alias(self, by: int, name: str, alias: str, version: int, expected: int | None, repeats: bool) -> None:
        prompt, raw = self.prompts[name], self.raws[by]
        request_id = raw.request_id()
        op = raw.set_alias(NS, name, alias, version, request_id, expected)
        held = prompt.aliases.get(alias, 0)
        if version > len(prompt.texts):
            assert op.reason == "VERSION_NOT_FOUND"
        elif expected not in (None, held):
            assert op.reason == "ALIAS_CONFLICT"
        else:
            assert (op.outcome, op.previous) == ("ok", str(held or ""))
            prompt.aliases[alias] = version
            if repeats:
                again = self.raws[1 - by].set_alias(NS, name, alias, version, request_id, expected)
                assert (again.revision, again.previous) == (op.revision, op.previous)

    @rule(by=services, name=names, alias=aliases)
    def delete_alias(self, by: int, name: str, alias: str) -> None:
        op = self.raws[by].delete_alias(NS, name, alias, self.raws[by].request_id())
        held = self.prompts[name].aliases.pop(alias, 0)
        assert (op.outcome == "ok", op.previous) == (bool(held), str(held or ""))

    @rule(by=services, name=names, alias=aliases)
    def roll_back(self, by: int, name: str, alias: str) -> None:
        """Where to, the checkers know."""
        op = self.raws[by].rollback(NS, name, alias, self.raws[by].request_id())
        assert op.outcome == "ok" or op.reason == "NOTHING_TO_ROLL_BACK"
        if op.outcome == "ok":
            self.prompts[name].aliases[alias] = int(op.target)

    @rule(by=services, name=names, undone=st.integers(0, 2))
    def release(self, by: int, name: str, undone: int) -> None:
        """And takes it back, and takes that back."""
        raw, prompt = self.raws[by], self.prompts[name]
        op = raw.release(NS, name, ("production", "staging"), len(prompt.texts), raw.request_id())
        for _ in range(undone):
            op = raw.undo(NS, name, op.revision, raw.request_id())
        assert op.outcome == "ok"
        prompt.aliases |= {alias: int(target or 0) for alias, (target, _) in op.moves.items()}

    @rule(by=services, name=names, data=st.data())
    def split(self, by: int, name: str, data: st.DataObject) -> None:
        newest = len(self.prompts[name].texts)
        weights = data.draw(st.dictionaries(st.integers(1, newest), st.just(1.0), min_size=1, max_size=3))
        raw = self.raws[by]
        assert raw.set_split(NS, name, "ab", weights, raw.request_id()).outcome == "ok"
        assert raw.resolve(NS, name, "ab", strong=True).version in weights

    @rule(by=services, name=names, data=st.data())
    def delete_a_version_for_a_while(self, by: int, name: str, data: st.DataObject) -> None:
        raw, prompt = self.raws[by], self.prompts[name]
        version = data.draw(st.integers(1, len(prompt.texts)))
        assert raw.delete_version(NS, name, version, raw.request_id(), drop=True).outcome == "ok"
        prompt.aliases = {alias: target for alias, target in prompt.aliases.items() if target != version}
        assert self.raws[1 - by].resolve(NS, name, str(version), strong=True).version == 0
        assert raw.undelete_version(NS, name, version, raw.request_id()).outcome == "ok"

    @rule(by=services, name=names, alias=aliases)
    def delete_a_prompt_for_a_while(self, by: int, name: str, alias: str) -> None:
        raw, other = self.raws[by], self.raws[1 - by]
        assert raw.delete_prompt(NS, name, raw.request_id()).outcome == "ok"
        assert other.resolve(NS, name, alias, strong=True).reason == "PROMPT_DELETED"
        self.agent.load(name, alias)
        assert other.undelete_prompt(NS, name, other.request_id()).outcome == "ok"

    @rule(by=services, name=names, version=st.integers(0, 1), removes=st.booleans())
    def tag(self, by: int, name: str, version: int, removes: bool) -> None:
        raw, request_id = self.raws[by], self.raws[by].request_id()
        assert raw.set_tags(NS, name, version, {"note": request_id}, request_id).outcome == "ok"
        if removes:
            assert raw.delete_tags(NS, name, version, ("note",), raw.request_id()).outcome == "ok"

    @rule(by=services, name=names, alias=aliases | st.just("latest"))
    def read_strongly(self, by: int, name: str, alias: str) -> None:
        self.check_read(self.raws[by].resolve(NS, name, alias, strong=True))

    @rule(by=services, name=names, alias=aliases)
    def read_at_the_token_of_another(self, by: int, name: str, alias: str) -> None:
        """Of who has seen everything: so it is as good as a strong read."""
        raw, other = self.raws[by], self.raws[1 - by]
        other.resolve(NS, name, "latest", strong=True)
        raw.tokens |= other.tokens
        self.check_read(raw.resolve(NS, name, alias, token=True))

    def check_read(self, op: Op) -> None:
        prompt = self.prompts[op.name]
        version = len(prompt.texts) if op.selector == "latest" else prompt.aliases.get(op.selector, 0)
        assert op.version == version
        assert not version or op.text == prompt.texts[version - 1]

    @rule(by=services, name=names, alias=aliases)
    def read(self, by: int, name: str, alias: str) -> None:
        self.raws[by].resolve(NS, name, alias)

    @rule(name=names, alias=aliases | st.just("latest"), hits=st.sampled_from([1, 50]))
    def load(self, name: str, alias: str, hits: int) -> None:
        self.agent.load(name, alias, hits)

    @rule(name=names, alias=aliases, data=st.data())
    def write_by_agent(self, name: str, alias: str, data: st.DataObject) -> None:
        version = data.draw(st.integers(1, len(self.prompts[name].texts)))
        if self.agent.write(name, alias, version):
            self.prompts[name].aliases[alias] = version
        self.agent.load(name, alias)

    @rule(by=services)
    def restart(self, by: int) -> None:
        self.stage.restart(self.addresses[by])
        deadline = time.monotonic() + 10
        while self.raws[by].resolve(NS, "greeting", "latest").outcome != "ok":
            assert time.monotonic() < deadline, "the service does not answer after its restart"
            time.sleep(0.01)

    @rule()
    def back_up(self) -> None:
        self.backup = (self.stage.backup(NS), copy.deepcopy(self.prompts))

    @precondition(lambda self: self.backup)
    @rule()
    def restore(self) -> None:
        assert self.backup is not None
        self.stage.restore(NS, self.backup[0])
        self.prompts, self.backup = self.backup[1], None

    def teardown(self) -> None:
        if not hasattr(self, "feed"):
            return
        self.watcher.finish()
        self.feed.finish()
        self.agent.close()
        for raw in self.raws:
            raw.close()
        found = violations(self.stage.close())
        assert not found, "\n".join(map(str, found[:3]))


SHORT = settings(max_examples=10, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TestMachine = Machine.TestCase
TestMachine.settings = SHORT


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_for_long() -> None:
    run_state_machine_as_test(Machine, settings=settings(SHORT, max_examples=500, stateful_step_count=60))
