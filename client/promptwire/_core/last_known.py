"""When the last known good is read and written: by one thread of its own, so that a slow disk delays nothing else."""

import contextlib
import logging
import math
import queue
import threading
import time
from concurrent.futures import Future

from promptwire._core import decoding, snapshot
from promptwire._core.exported import Exported, ExportedPrompt
from promptwire._core.lease import Clock
from promptwire._core.live import LiveTable
from promptwire._core.snapshot import Entries, Entry
from promptwire._core.split_alias import Meaning
from promptwire.domain.references import Reference
from promptwire.options import Options
from promptwire.values import Revision

_log = logging.getLogger("promptwire")

_DEBOUNCE_SECONDS = 1.0
"""What changes within this time is written together."""
_MOST_SHARE = 0.1
"""How much of its thread's time writing may take while changes keep coming: a large file is written less often."""
_REFRESH_SECONDS = 60.0
"""How old a confirmation in the file may be before it is written anew although nothing changed."""
_REFRESH_BYTES = 4 * 1024 * 1024
"""A file larger than this is refreshed less often, in proportion."""


class LastKnown:
    """One client's snapshot file: what earlier processes knew, and what this one leaves behind."""

    def __init__(self, live: LiveTable, options: Options, clock: Clock) -> None:
        assert options.snapshot_dir is not None
        self._live = live
        self._target, self._namespace = options.target, options.namespace
        self._path = options.snapshot_dir / snapshot.file_name(options.target, options.namespace)
        self._clock = clock
        self._lock = snapshot.Lock(self._path)
        self._doubted: dict[str, Revision] = {}
        """Prompts of the file that this process has seen or written at a revision."""
        self._warned: set[str] = set()
        self._begin(Future())

    def _begin(self, entries: "Future[Entries]") -> None:
        self.entries = entries
        """What the file held when this process began; done once it was read."""
        self._events: queue.SimpleQueue[bool] = queue.SimpleQueue()  # True: something changed; False: stop
        self._starting = threading.RLock()  # reentrant, as all locks here: see LiveTable
        self._thread: threading.Thread | None = None
        self._dirty = False
        self._refresh_at = math.inf
        self._settle_seconds = _DEBOUNCE_SECONDS

    def start(self) -> None:
        """Begins to read, and then to write. Idempotent."""
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="promptwire-snapshot", daemon=True)
                    self._thread.start()

    def changed(self) -> None:
        """From any thread: the file would hold something else now."""
        if not self._dirty:
            self._dirty = True
            self._events.put(True)
            self.start()

    def stop(self, timeout_seconds: float) -> None:
        """Writes what is not written, and waits for that. Idempotent."""
        with self._starting:
            thread = self._thread
            self._events.put(False)
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_seconds)

    def forked(self) -> None:
        """In a child process: the thread is the parent's; what was read stays."""
        self._lock.forked()
        self._begin(self.entries if self.entries.done() else Future())

    # What earlier processes knew.

    def doubt(self, name: str, revision: Revision) -> None:
        """This process has seen or written a prompt at a revision: what is older does not count any more."""
        if self.entries.done() and name not in self.entries.result():
            return
        before = self._doubted.get(name)
        if before is None or not revision.is_behind(before):
            self._doubted[name] = revision

    def recall(self, key: str, reference: Reference) -> bool:
        """Puts what the file says of a reference into the table, to fall back on; whether it could."""
        entry = self.entries.result().get(reference.name) if self.entries.done() else None
        if entry is None or not entry.state or not self._live.lacks(reference):
            return False
        value = self._decoded(entry, reference)
        if value is None:
            return False
        age = max(0.0, time.time() - entry.confirmed_at)
        return self._live.recall(key, reference, value, age, entry.as_of, self._doubted.get(entry.name))

    def _decoded(self, entry: Entry, reference: Reference) -> Meaning | None:
        try:
            return entry.version(reference.selector)
        except snapshot.READ_ERRORS as error:
            self._warn("entry", f"{self._path}: {entry.name!r} cannot be used: {error}")
            return None

    # The thread.

    def _run(self) -> None:
        if not self.entries.done():
            self.entries.set_result(self._read())
        going = True
        while going:
            going = self._wait()
            if self._dirty or (going and self._clock() >= self._refresh_at):
                self._dirty = False
                began = time.monotonic()
                self._write()
                self._settle_seconds = max(_DEBOUNCE_SECONDS, (time.monotonic() - began) / _MOST_SHARE)

    def _wait(self) -> bool:
        """Until something changed and has settled, or is to be refreshed; False to stop."""
        left = self._refresh_at - self._clock()
        with contextlib.suppress(queue.Empty):
            if not self._events.get(timeout=None if left == math.inf else max(0.0, left)):
                return False
            settled_at = time.monotonic() + self._settle_seconds
            while (left := settled_at - time.monotonic()) > 0:
                if not self._events.get(timeout=left):
                    return False
        return True

    def _read(self) -> Entries:
        try:
            return snapshot.read(self._path, self._target, self._namespace, time.time())
        except (snapshot.Refused, OSError) as error:
            self._warn("file", f"{self._path} is not used: {error}")
        except Exception as error:
            _log.exception("%s is not used, after an error that should not happen: %r", self._path, error)
        return {}

    def _write(self) -> None:
        """Survives whatever happens: an agent does not need its snapshot until its next start."""
        try:
            self._refresh_at = self._clock() + _REFRESH_SECONDS
            exported = self._live.export()
            if exported is not None:
                self._merge(exported)
        except (snapshot.Refused, OSError) as error:
            self._warn("write", f"{self._path} is not written: {error}")
        except Exception as error:
            _log.exception("%s is not written, after an error that should not happen: %r", self._path, error)

    def _merge(self, exported: Exported) -> None:
        now, clock_now = time.time(), self._clock()
        ours = [_entry(one, exported.position, now, clock_now) for one in exported.prompts]
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock.held():
            held = self._held(now)
            merged = snapshot.merge(held, ours, now)
            if _says_as_much(held, merged):
                return
            data = self._pack(merged, exported.position, now)
            snapshot.replace_file(self._path, data)
        self._warned.discard("write")
        self._refresh_at = self._clock() + _REFRESH_SECONDS * max(1.0, len(data) / _REFRESH_BYTES)

    def _pack(self, entries: Entries, position: Revision, now: float) -> bytes:
        data = snapshot.pack(entries, self._target, self._namespace, position, now)
        if len(data) <= snapshot.MAX_BYTES:
            return data
        kept = snapshot.fitting(entries)
        left_out, most = len(entries) - len(kept), snapshot.MAX_BYTES
        self._warn("room", f"{self._path} has no room for {left_out} of {len(entries)} prompts in {most} bytes")
        return snapshot.pack(kept, self._target, self._namespace, position, now)

    def _held(self, now: float) -> Entries:
        """What the file holds by now. What is refused is replaced, but for what a newer client can still use."""
        try:
            return snapshot.read(self._path, self._target, self._namespace, now)
        except snapshot.RefusedAsNewer:
            raise
        except snapshot.Refused as error:
            self._warn("file", f"{self._path} is replaced: {error}")
            return {}

    def _warn(self, kind: str, message: str) -> None:
        """Once for each thing that is wrong."""
        if kind not in self._warned:
            self._warned.add(kind)
            _log.warning("%s", message)


def _entry(prompt: ExportedPrompt, position: Revision, now: float, clock_now: float) -> Entry:
    """`now` is the wall's, `clock_now` the clock's: only the wall's outlives this process."""
    record = None
    if prompt.record is not None:
        record = decoding.record_message(prompt.name, prompt.record)
    known_when = math.isfinite(prompt.confirmed_at)
    confirmed_at = now - (clock_now - prompt.confirmed_at) if known_when else snapshot.UNKNOWN_TIME
    return snapshot.entry(prompt.name, record, prompt.bodies, prompt.selectors, position, confirmed_at)


def _says_as_much(held: Entries, merged: Entries) -> bool:
    """Whether a file need not be written: somebody has just written the same."""
    if held.keys() != merged.keys():
        return False
    return all(_is_covered(merged[name], held[name]) for name in merged)


def _is_covered(one: Entry, held: Entry) -> bool:
    if (one.state, one.as_of.epoch, one.selectors.keys()) != (held.state, held.as_of.epoch, held.selectors.keys()):
        return False
    at = one.confirmed_at - _REFRESH_SECONDS / 2
    return held.confirmed_at > at and all(
        told_at > one.selectors[selector] - _REFRESH_SECONDS / 2 for selector, told_at in held.selectors.items()
    )
