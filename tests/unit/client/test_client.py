"""The client against a service in this process: what it asks, how often, and what it makes of the answers."""

import gc
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

import promptwire
from promptwire import Client
from promptwire._core import connection, live
from promptwire.values import Revision
from tests.unit.client.fakes import FakeService, Registry, eventually, rpc_status, serving


@pytest.fixture
def client(target: str) -> Iterator[Client]:
    with Client(target, actor="ana@laptop") as client:
        yield client


def unreachable() -> grpc.Status:
    return rpc_status(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", "the store is not available: it sleeps")


# Loading


def test_the_first_load_asks_and_the_next_ones_do_not(client: Client, service: FakeService) -> None:
    first = client.load_prompt("prompts:/a@production")
    assert (first.name, first.version, first.aliases, first.uri) == ("a", 1, ("production",), "prompts:/a/1")
    assert client.load_prompt("prompts:/a@production") is first
    assert len(service.asked("Resolve")) == 1


def test_a_flip_arrives_without_asking(client: Client, service: FakeService, registry: Registry) -> None:
    client.load_prompt("prompts:/a@production")
    eventually(lambda: client.status().fresh)
    registry.alias("a", "production", 2)
    eventually(lambda: client.load_prompt("prompts:/a@production").version == 2)
    assert len(service.asked("Resolve")) == 1


def test_a_version_may_be_given_apart(client: Client) -> None:
    assert client.load_prompt("prompts:/a", version=2).version == 2
    assert client.load_prompt("a", 2) is client.load_prompt("a/2")


@pytest.mark.parametrize("reference", ["prompts:/a@production", "a/1"])
def test_a_version_given_twice_is_refused(client: Client, reference: str) -> None:
    with pytest.raises(promptwire.InvalidArgumentError, match="version: the reference picks one already"):
        client.load_prompt(reference, version=1)


@pytest.mark.parametrize(
    ("reference", "error"),
    [
        ("nope@production", promptwire.PromptNotFoundError),
        ("a@nope", promptwire.AliasNotFoundError),
        ("a/9", promptwire.VersionNotFoundError),
    ],
)
def test_what_does_not_exist_is_followed_and_not_asked_for_again(
    client: Client, service: FakeService, reference: str, error: type[promptwire.NotFoundError]
) -> None:
    with pytest.raises(error) as asked:
        client.load_prompt(reference)
    eventually(lambda: client._core.live.known_missing(reference))
    for _ in range(3):
        with pytest.raises(error) as known:
            client.load_prompt(reference)
    assert len(service.asked("Resolve")) == 1
    assert (known.value.reason, known.value.code) == (asked.value.reason, asked.value.code)


@pytest.mark.parametrize("reference", ["late", "late@production", "prompts:/late/1"])
def test_a_prompt_that_was_missing_is_pushed_when_it_comes_to_exist(
    client: Client, service: FakeService, registry: Registry, reference: str
) -> None:
    with pytest.raises(promptwire.PromptNotFoundError):
        client.load_prompt(reference)
    eventually(lambda: client._core.live.known_missing(reference))
    with registry.changed:
        registry.register("late")
        registry.alias("late", "production", 1)
    eventually(lambda: reference in client._live.entries)
    assert client.load_prompt(reference).version == 1
    assert len(service.asked("Resolve")) == 1


def test_a_prompt_that_i_register_after_i_missed_it_is_there_at_once(
    client: Client, service: FakeService, registry: Registry
) -> None:
    service.pushes = False
    with pytest.raises(promptwire.PromptNotFoundError):
        client.load_prompt("late")
    client.register_prompt("late", "text")
    assert client.load_prompt("late").version == 1


def test_only_so_many_missing_references_are_followed(
    client: Client, service: FakeService, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "ABSENT_MAX", 3)
    client.load_prompt("a")
    for number in range(10):
        with pytest.raises(promptwire.PromptNotFoundError):
            client.load_prompt(f"made-up-{number}")
    assert client.status().prompts == 1 + 3
    eventually(lambda: set(service.streams[0].follows) == {"a", "made-up-7", "made-up-8", "made-up-9"})
    registry.register("made-up-0")
    assert client.load_prompt("made-up-0").version == 1
    eventually(lambda: "made-up-0" in service.streams[0].follows)


def test_many_threads_that_miss_the_same_reference_ask_once(client: Client, service: FakeService) -> None:
    service.gates["Resolve"] = threading.Semaphore(0)
    with ThreadPoolExecutor(8) as pool:
        loads = [pool.submit(client.load_prompt, "a@production") for _ in range(8)]
        eventually(lambda: service.asked("Resolve"))
        eventually(pool._work_queue.empty)
        service.gates["Resolve"].release(100)
        assert len({id(load.result()) for load in loads}) == 1
    assert len(service.asked("Resolve")) == 1


def test_an_error_goes_to_all_who_wait_for_the_answer(client: Client, service: FakeService) -> None:
    service.gates["Resolve"] = threading.Semaphore(0)
    with ThreadPoolExecutor(4) as pool:
        loads = [pool.submit(client.load_prompt, "nope") for _ in range(4)]
        eventually(lambda: client._core.live._flights)
        eventually(pool._work_queue.empty)
        service.gates["Resolve"].release(100)
        assert all(isinstance(load.exception(), promptwire.PromptNotFoundError) for load in loads)


def test_many_references_take_one_round_trip(client: Client, service: FakeService, registry: Registry) -> None:
    client.load_prompt("a@production")
    loaded = client.load_prompts(["a@production", "b@production", "prompts:/b/2", "b@production"])
    assert [prompt.uri for prompt in loaded] == ["prompts:/a/1", "prompts:/b/1", "prompts:/b/2", "prompts:/b/1"]
    (batch,) = service.asked("BatchResolve")
    assert list(batch.references) == ["b@production", "prompts:/b/2"]
    registry.alias("b", "production", 2)
    eventually(lambda: client.load_prompt("b@production").version == 2)
    assert len(service.asked("Resolve")) == 1


def test_of_many_references_the_good_ones_are_kept_although_one_is_missing(
    client: Client, service: FakeService
) -> None:
    with pytest.raises(promptwire.PromptNotFoundError):
        client.load_prompts(["a", "nope", "b"])
    service.calls.clear()
    client.load_prompt("a")
    client.load_prompt("b")
    assert not service.asked("Resolve")


def test_a_handle_follows(client: Client, registry: Registry) -> None:
    handle = client.handle("a@production")
    assert handle.current.version == 1
    registry.alias("a", "production", 2)
    eventually(lambda: handle.current.version == 2)
    with pytest.raises(promptwire.AliasNotFoundError):
        client.handle("a@nope")


def test_a_handle_keeps_its_client_open_and_a_client_that_is_let_go_of_closes(target: str, registry: Registry) -> None:
    handles = [Client(target).handle("a@production")]
    core = handles[0]._client._core
    gc.collect()
    registry.alias("a", "production", 2)
    eventually(lambda: handles[0].current.version == 2)
    handles.clear()
    gc.collect()
    assert core.connection.closed


def test_a_version_that_is_not_what_its_digest_says_is_refused(client: Client, registry: Registry) -> None:
    registry.versions["a", 1].content.text = "obey me"
    with pytest.raises(promptwire.PromptwireError, match="digest"):
        client.load_prompt("a@production")


# Reading what one wrote


def test_a_load_after_a_write_sees_it_although_no_push_has_arrived(
    client: Client, service: FakeService, registry: Registry
) -> None:
    client.load_prompt("a@production")
    eventually(lambda: client.status().fresh)
    service.pushes = False
    change = client.set_prompt_alias("a", "production", 2)
    assert change.previous_version == 1
    assert client.load_prompt("a@production").version == 2
    assert service.asked("Resolve")[-1].read.min_revision.number == change.revision.number == registry.number


def test_a_question_that_was_asked_before_a_write_does_not_bring_back_what_was(
    client: Client, service: FakeService
) -> None:
    service.pushes = False
    service.gates["Resolve"] = threading.Semaphore(0)
    with ThreadPoolExecutor(1) as pool:
        early = pool.submit(client.load_prompt, "a@production")
        eventually(lambda: service.asked("Resolve"))
        client.set_prompt_alias("a", "production", 2)
        service.gates["Resolve"].release(100)
        assert early.result().version == 2
    assert client.load_prompt("a@production").version == 2


def test_reads_never_ask_for_less_than_was_seen(client: Client, service: FakeService, registry: Registry) -> None:
    seen = client.register_prompt("c", "hello")
    client.get_prompt("a")
    client.load_prompt("b")
    assert seen.version == 1
    numbers = [request.read.min_revision.number for request in service.asked("GetPrompt") + service.asked("Resolve")]
    assert numbers == [registry.number, registry.number]


# Writing


def test_a_write_that_may_have_happened_is_sent_again_under_the_same_id(
    client: Client, service: FakeService, registry: Registry
) -> None:
    service.failures["RegisterPrompt"] = deque([unreachable(), unreachable()])
    version = client.register_prompt("c", "hello {{who}}", "first", {"use": "x"}, {"b": 1, "a": "é"}, {"m": 0.5})
    assert version.version == 1
    requests = service.asked("RegisterPrompt")
    assert len(requests) == 3
    assert len({request.write.request_id for request in requests}) == 1
    assert registry.prompts["c"].latest_version == 1
    assert (requests[0].write.actor, requests[0].commit_message, dict(requests[0].tags)) == (
        "ana@laptop",
        "first",
        {"use": "x"},
    )
    assert version.response_format_json == '{"a":"é","b":1}'
    assert version.response_format == {"a": "é", "b": 1}
    assert version.model_config == {"m": 0.5}


def test_two_writes_have_two_ids(client: Client, service: FakeService) -> None:
    client.set_registered_prompt_alias("a", "staging", version=1)
    client.set_registered_prompt_alias("a", "staging", version=1)
    assert len({request.write.request_id for request in service.asked("SetAlias")}) == 2


def test_what_other_refusals_say_is_not_tried_again(client: Client, service: FakeService) -> None:
    refusal = rpc_status(grpc.StatusCode.ABORTED, "ALIAS_CONFLICT", "it moved", actual_version="3")
    service.failures["SetAlias"] = deque([refusal])
    with pytest.raises(promptwire.ConflictError, match="it moved") as caught:
        client.set_prompt_alias("a", "production", 2, expected_version=1, reason="better")
    assert (caught.value.reason, caught.value.code) == ("ALIAS_CONFLICT", "ABORTED")
    assert caught.value.metadata == {"actual_version": "3"}
    (request,) = service.asked("SetAlias")
    assert (request.expected_version, request.write.reason) == (1, "better")


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("name", lambda client, bad: client.register_prompt(bad, "text")),
        ("template", lambda client, bad: client.register_prompt("c", bad)),
        ("commit_message", lambda client, bad: client.register_prompt("c", "text", bad)),
        ("tags", lambda client, bad: client.register_prompt("c", "text", tags={bad: "x"})),
        ("tags['key']", lambda client, bad: client.register_prompt("c", "text", tags={"key": bad})),
        ("name", lambda client, bad: client.set_prompt_alias(bad, "production", 1)),
        ("alias", lambda client, bad: client.set_prompt_alias("a", bad, 1)),
        ("reason", lambda client, bad: client.set_prompt_alias("a", "x", 1, reason=bad)),
        ("reference", lambda client, bad: client.load_prompt(bad)),
        ("reference", lambda client, bad: client.load_prompt(bad, version=1)),
        ("references", lambda client, bad: client.load_prompts([bad])),
        ("prefix", lambda client, bad: client.list_prompts(bad)),
        ("keys", lambda client, bad: client.delete_prompt_tags("a", [bad])),
        ("names", lambda client, bad: client.changes(names=[bad])),
    ],
)
@pytest.mark.parametrize("bad", [b"bytes", "lone \ud800", 5], ids=["bytes", "surrogate", "number"])
def test_what_is_not_text_is_refused_by_field_without_a_call(
    client: Client, service: FakeService, field: str, call: Callable[[Client, Any], object], bad: object
) -> None:
    with pytest.raises(promptwire.InvalidArgumentError) as caught:
        call(client, bad)
    assert [violation[0] for violation in caught.value.violations] == [field]
    assert isinstance(caught.value, ValueError)
    assert not service.calls


@pytest.mark.parametrize("bad", [None, [], {}, object()])
def test_what_is_no_reference_at_all_is_refused_as_one(client: Client, bad: object) -> None:
    with pytest.raises(promptwire.InvalidArgumentError, match="reference: must be text"):
        client.load_prompt(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [0, -1, 1 << 63, True, "1", 1.0])
def test_what_is_no_version_number_is_refused(client: Client, bad: object) -> None:
    calls: list[Callable[[], object]] = [
        lambda: client.load_prompt("a", bad),  # type: ignore[arg-type]
        lambda: client.set_prompt_alias("a", "x", bad),  # type: ignore[arg-type]
        lambda: client.get_prompt_version("a", bad),  # type: ignore[arg-type]
        lambda: client.set_prompt_version_tag("a", bad, "k", "v"),  # type: ignore[arg-type]
    ]
    for call in calls:
        with pytest.raises(promptwire.InvalidArgumentError, match="version: must be a whole number"):
            call()


@pytest.mark.parametrize("bad", [[1], "{}", {"a": object()}, {"a": float("nan")}, {"a": "\ud800"}])
def test_what_json_cannot_hold_is_refused(client: Client, bad: Any) -> None:
    for field in ("response_format", "model_config"):
        with pytest.raises(promptwire.InvalidArgumentError, match=field):
            client.register_prompt("c", "text", **{field: bad})


# Listing


def test_pages_are_fetched_as_they_are_needed(client: Client, service: FakeService, registry: Registry) -> None:
    for name in ("c", "d", "e"):
        registry.register(name)
    prompts = client.list_prompts()
    assert not service.calls
    assert [next(prompts).name, next(prompts).name] == ["a", "b"]
    assert len(service.asked("ListPrompts")) == 1
    assert [prompt.name for prompt in prompts] == ["c", "d", "e"]
    assert [prompt.name for prompt in client.list_prompts("c")] == ["c"]


def test_a_prompt_has_its_aliases(client: Client) -> None:
    prompt = client.get_prompt("a")
    assert (prompt.name, prompt.latest_version, prompt.aliases) == ("a", 2, {"production": 1})


# Outages


def test_a_service_that_is_not_there_is_named_with_the_time_it_was_waited_for() -> None:
    with (
        Client("127.0.0.1:1", timeout_seconds=0.2) as client,
        pytest.raises(promptwire.UnavailableError, match=r"127\.0\.0\.1:1 did not answer within 0\.2 s") as caught,
    ):
        client.load_prompt("a")
    assert not isinstance(caught.value, grpc.RpcError)
    assert caught.value.code == "DEADLINE_EXCEEDED"


def test_a_call_that_a_stopping_service_cancels_is_made_again(client: Client, service: FakeService) -> None:
    """With the same request id, as it may have been carried out."""
    cancelled = deque(rpc_status(grpc.StatusCode.CANCELLED, "") for _ in range(2))
    service.failures["RegisterPrompt"] = cancelled
    assert client.register_prompt("new", "x").version == 1
    assert len({request.write.request_id for request in service.asked("RegisterPrompt")}) == 1
    assert len(service.asked("RegisterPrompt")) == 3


def test_a_store_that_stays_away_is_the_reason_given(target: str, service: FakeService) -> None:
    service.failures["GetPrompt"] = deque(unreachable() for _ in range(1000))
    with (
        Client(target, timeout_seconds=0.3) as client,
        pytest.raises(promptwire.UnavailableError, match="it sleeps") as caught,
    ):
        client.get_prompt("a")
    assert caught.value.reason == "STORE_UNAVAILABLE"
    assert len(service.asked("GetPrompt")) > 1


def outage(target: str, service: FakeService, on_stale: Any) -> Client:
    """A client with one prompt, past its lease."""
    client = Client(target, lease_seconds=0.3, renew_seconds=0.1, timeout_seconds=0.5, on_stale=on_stale)
    client.load_prompt("a@production")
    eventually(lambda: client.status().fresh)
    service.bookmarks = False
    eventually(lambda: not client.status().entries)
    return client


def test_past_the_lease_the_last_known_good_is_served_and_marked_without_asking(
    target: str, service: FakeService
) -> None:
    with outage(target, service, "serve") as client:
        asked = len(service.asked("Resolve"))
        prompt = client.load_prompt("a@production")
        assert prompt.stale
        assert prompt.age >= 0.3
        assert "stale" in repr(prompt)
        assert len(service.asked("Resolve")) == asked
        service.bookmarks = True
        eventually(lambda: client.status().fresh)
        assert not prompt.stale
        assert client.load_prompt("a@production") is prompt


def test_past_the_lease_a_client_may_rather_fail(target: str, service: FakeService) -> None:
    with outage(target, service, "fail") as client:
        with pytest.raises(promptwire.StaleError, match=r"prompts:/a/1 was last confirmed"):
            client.load_prompt("a@production")
        service.bookmarks = True
        eventually(lambda: client.status().fresh)
        assert client.load_prompt("a@production").version == 1


def test_the_watch_comes_back_with_the_service_and_catches_up(registry: Registry) -> None:
    with serving(FakeService(registry)) as target:
        client = Client(target)
        client.load_prompt("a@production")
        eventually(lambda: client.status().connected)
    eventually(lambda: not client.status().connected)
    assert client.load_prompt("a@production").version == 1
    registry.alias("a", "production", 2)
    again = FakeService(registry)
    with serving(again, int(target.rpartition(":")[2])):
        eventually(lambda: client.load_prompt("a@production").version == 2)
        assert client.status().reconnects >= 1
        assert not again.asked("Resolve")
        assert again.asked("Watch")[0].resume.number == registry.number - 1
        client.close()


def test_garbage_on_the_wire_is_survived(client: Client, service: FakeService, registry: Registry) -> None:
    client.load_prompt("a@production")
    eventually(lambda: client.status().connected)
    service.streams[0].outbox.put(b"\xff\xff\xff")  # type: ignore[arg-type]
    eventually(lambda: len(service.streams) > 1)
    registry.alias("a", "production", 2)
    eventually(lambda: client.load_prompt("a@production").version == 2)


# Closing


def test_a_closed_client_refuses_everything(target: str) -> None:
    client = Client(target)
    client.load_prompt("a@production")
    client.close()
    client.close()
    for call in (
        lambda: client.load_prompt("a@production"),
        lambda: client.load_prompts(["a"]),
        lambda: client.get_prompt("a"),
        lambda: client.register_prompt("c", "text"),
        lambda: next(client.changes()),
        lambda: client.handle("a@production"),
    ):
        with pytest.raises(promptwire.PromptwireError, match="closed"):
            call()
    assert client.status().entries == 0


def test_closing_ends_the_threads_and_those_who_wait(target: str, service: FakeService) -> None:
    client = Client(target)
    client.load_prompt("a@production")
    service.gates["Resolve"] = threading.Semaphore(0)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(client.load_prompt, f"{name}@production") for name in ("b", "b", "c", "d")]
        eventually(lambda: len(service.asked("Resolve")) >= 4)
        client.close()
        for load in waiting:
            assert isinstance(load.exception(5), promptwire.PromptwireError)
    mine = client._core._watch._thread
    assert mine is not None
    assert not mine.is_alive()


def test_no_thread_of_a_closed_stream_is_left_to_be_stopped_with_a_lock_of_grpcs(target: str) -> None:
    before = set(threading.enumerate())
    client = Client(target)
    client.load_prompt("a@production")
    eventually(lambda: client.status().connected)
    client.close()
    left = [one.name for one in set(threading.enumerate()) - before]
    assert not [name for name in left if "promptwire" in name or "consume_request_iterator" in name]


def test_a_client_may_close_while_threads_load(target: str) -> None:
    """Each load brings a version or says that the client is closed; nothing else, and nothing hangs."""
    for _ in range(5):
        client = Client(target)
        client.load_prompt("a@production")
        wrong: list[BaseException] = []

        def load(client: Client = client, wrong: list[BaseException] = wrong) -> None:
            number = 0
            while True:
                number += 1
                try:
                    client.load_prompt("a@production")
                    client.load_prompt("b" if number % 2 else "prompts:/b")
                except promptwire.PromptwireError as error:
                    if error.reason != "CLOSED":
                        wrong.append(error)
                    return
                except BaseException as error:
                    wrong.append(error)
                    return

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        client.close()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
        assert not wrong


# The feed


def test_the_feed_has_every_change_and_goes_on_where_a_stream_broke(
    client: Client, service: FakeService, registry: Registry
) -> None:
    service.failures["StreamChanges"] = deque([unreachable()])
    feed = client.changes(after=Revision("one", 0))
    assert next(feed).changes == ()
    kinds = [next(feed).changes[0].kind for _ in range(registry.number)]
    assert kinds == ["version_registered", "version_registered", "alias_set"] * 2
    registry.alias("a", "production", 2)
    change = next(feed)
    assert change.revision == Revision("one", registry.number)
    assert (change.changes[0].alias, change.changes[0].version) == ("production", 2)
    assert len(service.asked("StreamChanges")) == 2
    feed.close()  # type: ignore[attr-defined]


def test_the_feed_ends_if_it_is_not_to_be_followed(client: Client, registry: Registry) -> None:
    assert len(list(client.changes(after=Revision("one", 0), follow=False))) == 1 + registry.number


def test_the_feed_gives_up_after_the_timeout(target: str, service: FakeService) -> None:
    service.failures["StreamChanges"] = deque([unreachable()] * 1000)
    service.gates["StreamChanges"] = threading.Semaphore(1)
    with Client("127.0.0.1:1", timeout_seconds=0.3) as client, pytest.raises(promptwire.UnavailableError):
        next(client.changes())


# Options


def test_options_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, service: FakeService, target: str) -> None:
    monkeypatch.setenv("PROMPTWIRE_TARGET", target)
    monkeypatch.setenv("PROMPTWIRE_NAMESPACE", "team")
    monkeypatch.setenv("PROMPTWIRE_TOKEN", "secret")
    monkeypatch.setenv("PROMPTWIRE_ACTOR", "robot")
    with Client() as client:
        client.set_prompt_alias("a", "x", 1)
        assert "secret" not in repr(client._core.options)
    (request,) = service.asked("SetAlias")
    assert (request.namespace, request.write.actor) == ("team", "robot")
    assert service.metadata[0]["authorization"] == "Bearer secret"
    assert service.metadata[0]["user-agent"].startswith(f"promptwire-python/{promptwire.__version__}")


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("target", {"target": b"x"}),
        ("target", {"target": "http://localhost:50051"}),
        ("namespace", {"namespace": "no spaces"}),
        ("token", {"token": "line\nbreak"}),
        ("token", {"token": "é"}),
        ("timeout_seconds", {"timeout_seconds": 0}),
        ("lease_seconds", {"lease_seconds": "15"}),
        ("renew_seconds", {"renew_seconds": 20}),
        ("on_stale", {"on_stale": "panic"}),
        ("actor", {"actor": "a" * 257}),
    ],
)
def test_bad_options_are_refused_by_name(field: str, options: dict[str, Any]) -> None:
    with pytest.raises(promptwire.InvalidArgumentError) as caught:
        Client(**options)
    assert caught.value.violations[0][0] == field


def test_a_client_that_is_only_made_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection.grpc, "insecure_channel", lambda *_: pytest.fail("it connects"))
    before = threading.active_count()
    with Client() as client:
        assert client.status().connected is False
        assert threading.active_count() == before


# genai


def test_genai_works_on_one_client_of_the_process(
    monkeypatch: pytest.MonkeyPatch, target: str, service: FakeService
) -> None:
    genai = promptwire.genai
    genai.configure(target=target, actor="bob")
    try:
        registered = genai.register_prompt("c", "Hi {{who}}", commit_message="first", tags={"k": "v"})
        genai.set_prompt_alias("c", "production", registered.version)
        assert genai.load_prompt("prompts:/c@production").format(who="Ana") == "Hi Ana"
        assert genai.load_prompt("prompts:/c", version=1) is genai.load_prompt("prompts:/c/1")
        assert [prompt.name for prompt in genai.list_prompts()] == ["a", "b", "c"]
        assert genai.get_client() is genai.get_client()
        old = genai.get_client()
        genai.configure(target=target)
        with pytest.raises(promptwire.PromptwireError, match="closed"):
            old.load_prompt("a")
        assert genai.load_prompt("a").version == 2
    finally:
        genai.get_client().close()
        monkeypatch.setattr(genai, "_client", None)


def test_what_is_loaded_goes_through_json_and_reads_like_mlflows(client: Client, registry: Registry) -> None:
    registry.tag("a", 1, "use_case", "support")
    prompt = client.load_prompt("a@production")
    assert json.loads(json.dumps(prompt.tags)) == {"use_case": "support"}
    assert f"{', '.join(prompt.aliases) if prompt.aliases else 'None'} {prompt.tags}" == (
        "production {'use_case': 'support'}"
    )
    assert prompt.age < time.monotonic()
