"""Settings: where they come from, and how a wrong one is named."""

from pathlib import Path
from typing import Any

import pytest

from promptwire_service.config import Settings, SettingsError, load, split_address
from promptwire_service.storage.durability import Durability


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in Settings.model_fields:
        monkeypatch.delenv(f"PROMPTWIRE_{variable.upper()}", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_the_defaults_serve_this_machine_from_its_own_store(tmp_path: Path) -> None:
    settings = load()
    assert (settings.listen, settings.store, settings.durability) == ("127.0.0.1:50051", "embedded", None)
    assert settings.data_dir == tmp_path / ".local" / "share" / "promptwire"
    assert (settings.drain_seconds, settings.cache_max_bytes) == (5.0, 256 << 20)
    assert (settings.workers, settings.connection_age_seconds) == (1, 600.0)


def test_xdg_data_home_moves_the_data_if_it_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/srv/data")
    assert load().data_dir == Path("/srv/data/promptwire")
    monkeypatch.setenv("XDG_DATA_HOME", "data")
    assert load().data_dir == tmp_path / ".local" / "share" / "promptwire"


def test_flags_overrule_the_environment_and_absent_flags_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTWIRE_LISTEN", "0.0.0.0:1")
    monkeypatch.setenv("PROMPTWIRE_DURABILITY", "none")
    monkeypatch.setenv("PROMPTWIRE_STORE", "")
    settings = load(listen="[::1]:2", durability=None)
    assert (settings.listen, settings.durability, settings.store) == ("[::1]:2", Durability.NONE, "embedded")


def test_sizes_may_have_units_and_paths_a_tilde(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = load(cache_max_bytes="1GiB", data_dir="~/registry")
    assert (settings.cache_max_bytes, settings.data_dir) == (1 << 30, tmp_path / "registry")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LISTEN", "50051"),
        ("LISTEN", "localhost"),
        ("LISTEN", "localhost:65536"),
        ("LISTEN", "::1:50051"),
        ("LISTEN", "http://localhost:50051"),
        ("DURABILITY", "always"),
        ("DRAIN_SECONDS", "-1"),
        ("DRAIN_SECONDS", "nan"),
        ("DRAIN_SECONDS", "inf"),
        ("WORKERS", "0"),
        ("WORKERS", "65"),
        ("WORKERS", "two"),
        ("CONNECTION_AGE_SECONDS", "0.5"),
        ("CONNECTION_AGE_SECONDS", "-1"),
        ("CONNECTION_AGE_SECONDS", "86401"),
        ("CONNECTION_AGE_SECONDS", "inf"),
        ("CACHE_MAX_BYTES", "much"),
        ("CACHE_MAX_BYTES", "1k"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"PROMPTWIRE_{name}", value)
    with pytest.raises(SettingsError, match=f"^PROMPTWIRE_{name}: [^\n]+$"):
        load()


def test_connections_may_grow_as_old_as_they_like() -> None:
    assert load(connection_age_seconds="0").connection_age_seconds == 0


def test_a_wrong_flag_is_named_as_a_flag() -> None:
    with pytest.raises(SettingsError, match=r"^--drain-seconds: "):
        load(drain_seconds="soon")


def test_a_store_s_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTWIRE_STORE", "redis://:hunter2@host:6379/0")
    assert "hunter2" not in repr(load())
    with pytest.raises(SettingsError) as caught:
        load(listen="x", store=b"\xff hunter2")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "parts"),
    [("127.0.0.1:0", ("127.0.0.1", 0)), ("[::]:50051", ("::", 50051)), ("my-host.local:1", ("my-host.local", 1))],
)
def test_an_address_has_a_host_and_a_port(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts


def test_every_setting_says_its_unit_and_default() -> None:
    settings: Any = type(load())
    for name, field in settings.model_fields.items():
        assert "Default " in (field.description or ""), name
