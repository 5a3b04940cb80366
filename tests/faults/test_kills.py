"""kill -9 of the service and of its embedded store at random moments during writes.

Afterwards every acknowledged version, alias and tag is there, nothing is there twice, and revisions are
contiguous. All the while an agent reads, and nothing that it reads goes back.
`make soak` does it fifty times; PROMPTWIRE_TEST_KILLS and PROMPTWIRE_TEST_SEED choose otherwise.
"""

import os
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import promptwire
from tests.support.service import ServiceProcess

WRITERS = 3


@dataclass
class Writer:
    """Writes to a prompt of its own, and keeps what was acknowledged and what is in doubt."""

    name: str
    target: str
    seed: int
    stopped: threading.Event
    versions: dict[int, str] = field(default_factory=dict)
    in_doubt: set[str] = field(default_factory=set)
    alias: int | None = None
    tag: str | None = None
    writes: int = 0
    error: BaseException | None = None

    def run(self) -> None:
        try:
            with promptwire.Client(self.target, timeout_seconds=60) as client:
                draw = random.Random(self.seed)
                while not self.stopped.is_set():
                    self._write(client, draw)
                    self.writes += 1
        except BaseException as error:
            self.error = error

    def _write(self, client: promptwire.Client, draw: random.Random) -> None:
        text = f"{self.name} {self.writes} {draw.random()}"
        newest = max(self.versions, default=0)
        choice = draw.randrange(3) if newest else 0
        if choice == 1 and self.alias == newest:
            choice = 0  # the alias only ever goes up, so that a reader can tell if it went back
        if choice == 0:
            version = client.register_prompt(self.name, text)
            assert version.version not in self.versions, "a version number was acknowledged twice"
            self.versions[version.version] = text
        elif choice == 1:
            client.set_prompt_alias(self.name, "production", newest)
            self.alias = newest
            # The client's own reads hold its own writes, whatever was killed meanwhile.
            assert client.load_prompt(f"{self.name}@production").version == newest
        else:
            client.set_prompt_tag(self.name, "note", text)
            self.tag = text


@dataclass
class Reader:
    """An agent that resolves the alias of each writer, again and again: it must never see one go back."""

    target: str
    names: list[str]
    stopped: threading.Event
    seen: dict[str, int] = field(default_factory=dict)
    error: BaseException | None = None

    def run(self) -> None:
        try:
            with promptwire.Client(self.target, timeout_seconds=60) as client:
                while not self.stopped.wait(0.001):
                    for name in self.names:
                        self._read(client, name)
        except BaseException as error:
            self.error = error

    def _read(self, client: promptwire.Client, name: str) -> None:
        try:
            version = client.load_prompt(f"{name}@production").version
        except promptwire.NotFoundError:
            assert name not in self.seen, "what was there is gone"
            return
        assert version >= self.seen.get(name, 0), f"{name} went back from {self.seen[name]} to {version}"
        self.seen[name] = version


def kill_at_random(tmp_path: Path, kills: int, seed: int) -> tuple[int, Counter[str]]:
    """Returns how many writes were acknowledged, and how often what was killed."""
    draw = random.Random(seed)
    service = ServiceProcess(tmp_path / "data")
    service.start()
    stopped = threading.Event()
    writers = [Writer(f"prompt-{index}", service.target, seed + index, stopped) for index in range(WRITERS)]
    reader = Reader(service.target, [writer.name for writer in writers], stopped)
    threads = [threading.Thread(target=one.run) for one in (*writers, reader)]
    killed: Counter[str] = Counter()
    try:
        for thread in threads:
            thread.start()
        for _ in range(kills):
            # Writes go on for a random while; a moment, not a condition, is what is wanted here.
            time.sleep(draw.uniform(0.05, 0.6))
            try:
                if draw.random() < 0.5:
                    service.kill_store()
                    killed["store"] += 1
                    continue
            except (LookupError, ProcessLookupError):
                pass  # it is being restarted after the last kill: the service is killed in the middle of that
            service.kill()
            killed["service"] += 1
            service.start()
        before = [writer.writes for writer in writers]
        deadline = time.monotonic() + 60
        while any(writer.writes < count + 3 for writer, count in zip(writers, before, strict=True)):
            assert not [writer.error for writer in writers if writer.error]
            assert time.monotonic() < deadline, "writes do not go on"
            stopped.wait(0.05)
    finally:
        stopped.set()
        for thread in threads:
            thread.join(90)
    assert not [one.error for one in (*writers, reader) if one.error]
    check(service.target, writers)
    assert service.stop() == 0
    return sum(writer.writes for writer in writers), killed


def check(target: str, writers: list[Writer]) -> None:
    """Everything acknowledged is there, once, and nothing else."""
    with promptwire.Client(target) as client:
        for writer in writers:
            kept = {version.version: version.template for version in client.list_prompt_versions(writer.name)}
            assert kept == writer.versions
            prompt = client.get_prompt(writer.name)
            assert prompt.aliases.get("production") == writer.alias
            assert prompt.tags.get("note") == writer.tag
        head = client.server_status().revision
        assert head is not None
        entries = list(client.changes(after=promptwire.Revision(head.epoch, 0), follow=False))
        changes = [entry for entry in entries if entry.changes]
        assert [entry.revision.number for entry in changes] == list(range(1, head.number + 1))
        assert len({entry.request_id for entry in changes}) == len(changes)
        assert head.number == sum(writer.writes for writer in writers)


def test_nothing_acknowledged_is_lost_when_killed(tmp_path: Path) -> None:
    kill_at_random(tmp_path, kills=6, seed=int(os.environ.get("PROMPTWIRE_TEST_SEED", "1")))


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_fifty_kills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kills = int(os.environ.get("PROMPTWIRE_TEST_KILLS", "50"))
    seed = int(os.environ.get("PROMPTWIRE_TEST_SEED", "2"))
    writes, killed = kill_at_random(tmp_path, kills, seed)
    with capsys.disabled():
        print(f"\n{writes:,} acknowledged writes over {kills} kills -9 ({dict(killed)}): none lost, none twice")
