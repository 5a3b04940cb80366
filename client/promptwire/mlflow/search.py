"""MLflow's filters and orders as Promptwire's: read by MLflow's own parser, written as docs/search.md has it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from mlflow.store.model_registry import (
    SEARCH_MODEL_VERSION_MAX_RESULTS_THRESHOLD,
    SEARCH_REGISTERED_MODEL_MAX_RESULTS_THRESHOLD,
)
from mlflow.utils.search_utils import SearchModelUtils, SearchModelVersionUtils, SearchUtils

from promptwire.mlflow.content import CONTENT_TAG_KEYS, IS_PROMPT_TAG_KEY, PROMPT_TEXT_TAG_KEY
from promptwire.mlflow.errors import invalid

Clause = Mapping[str, Any]
"""Of MLflow's parser: type, key, comparator, value."""

_VERSION_FIELDS: Final = {"name": "name", "version_number": "version"}
_VERSION_ORDERS: Final = {
    "name": "name",
    "version_number": "version",
    "creation_timestamp": "created_at",
    "last_updated_timestamp": "created_at",
}
_PROMPT_ORDERS: Final = {"name": "name", "timestamp": "updated_at", "last_updated_timestamp": "updated_at"}


def prompts_filter(filter_string: str | None) -> str | None:
    """For prompts; None if MLflow asks for registered models, of which there are none."""
    return _filter(SearchModelUtils.parse_search_filter(filter_string), {"name": "name"})


def versions_filter(filter_string: str | None) -> str | None:
    """For versions; None if MLflow asks for what no version of a prompt has: a model's, a run's, a source."""
    clauses = SearchModelVersionUtils.parse_search_filter(filter_string)
    if any(clause["type"] == "attribute" and clause["key"] not in _VERSION_FIELDS for clause in clauses):
        return None
    return _filter(clauses, _VERSION_FIELDS)


def named(name: str) -> str:
    return f"name = {_text(name)}"


def prompts_order(order_by: Iterable[str] | None) -> list[str]:
    keys = [SearchUtils.parse_order_by_for_search_registered_models(one) for one in order_by or ()]
    return _order(keys, _PROMPT_ORDERS, natural=[("name", True)])


def versions_order(order_by: Iterable[str] | None) -> list[str]:
    """Without one, the newest first, as MLflow has it."""
    if not order_by:
        return ["created_at DESC"]
    parsed = [SearchModelVersionUtils.parse_order_by_for_search_model_versions(one) for one in order_by]
    keys = [(key, ascending) for _, key, ascending in parsed]
    return _order(keys, _VERSION_ORDERS, natural=[("name", True), ("version_number", False)])


def most_prompts(max_results: int | None) -> int:
    return _most(max_results, 100, SEARCH_REGISTERED_MODEL_MAX_RESULTS_THRESHOLD)


def most_versions(max_results: int | None) -> int:
    return _most(max_results, 10_000, SEARCH_MODEL_VERSION_MAX_RESULTS_THRESHOLD)


def _most(max_results: int | None, default: int, limit: int) -> int:
    most = default if max_results is None else max_results
    if not 1 <= most <= limit:
        raise invalid(f"max_results: must be a whole number from 1 to {limit:,}; got {most!r}")
    return most


def _filter(clauses: Sequence[Clause], fields: dict[str, str]) -> str | None:
    if not any(map(_is_for_prompts, clauses)):
        return None
    return " AND ".join(_condition(one, fields) for one in clauses if not _is_about_prompts(one))


def _is_about_prompts(clause: Clause) -> bool:
    return (clause["type"], clause["key"]) == ("tag", IS_PROMPT_TAG_KEY)


def _is_for_prompts(clause: Clause) -> bool:
    """MLflow asks for models unless the filter says otherwise by this tag."""
    wanted = {"=": "true", "!=": "false"}.get(clause["comparator"])
    return _is_about_prompts(clause) and str(clause["value"]).lower() == wanted


def _condition(clause: Clause, fields: dict[str, str]) -> str:
    key, comparator, value = clause["key"], clause["comparator"].upper(), clause["value"]
    if clause["type"] == "tag":
        return _tag_condition(key, comparator, value)
    if comparator in ("IN", "NOT IN"):
        return f"{fields[key]} {comparator} ({', '.join(map(_text, value))})"
    return f"{fields[key]} {comparator} {_number(key, value) if key == 'version_number' else _value(comparator, value)}"


def _tag_condition(key: str, comparator: str, value: str) -> str:
    if comparator not in ("=", "!=", "LIKE", "ILIKE"):
        raise invalid(f"Invalid comparator for tag: {comparator}")
    if key == PROMPT_TEXT_TAG_KEY:
        return f"template {comparator} {_value(comparator, value)}"
    if key in CONTENT_TAG_KEYS:
        raise invalid(f"filter_string: {key} is content, which is searched by its text only: {PROMPT_TEXT_TAG_KEY}")
    field = "tags.`{}`".format(key.replace("`", "``"))
    # In MLflow what has no such tag does not match.
    there = f" AND {field} IS NOT NULL" if comparator == "!=" else ""
    return f"({field} {comparator} {_value(comparator, value)}{there})"


def _value(comparator: str, value: object) -> str:
    """A backslash is a character in MLflow's patterns, and an escape in ours."""
    return _text(str(value).replace("\\", "\\\\") if comparator in ("LIKE", "ILIKE") else value)


def _text(value: object) -> str:
    return "'{}'".format(str(value).replace("'", "''"))


def _number(key: str, value: object) -> int:
    try:
        return int(str(value))
    except ValueError as error:
        raise invalid(f"Invalid value for numeric attribute '{key}': {value!r}") from error


def _order(keys: Sequence[tuple[str, bool]], names: dict[str, str], natural: Sequence[tuple[str, bool]]) -> list[str]:
    """Nothing for the natural order, which needs no sorting."""
    if list(keys) == list(natural)[: len(keys)]:
        return []
    if unknown := [key for key, _ in keys if key not in names]:
        raise invalid(f"Invalid order by key '{unknown[0]}' specified. Valid keys are {sorted(names)}")
    if len({names[key] for key, _ in keys}) < len(keys):
        raise invalid(f"`order_by` contains duplicate fields: {[key for key, _ in keys]}")
    return [f"{names[key]} {'ASC' if ascending else 'DESC'}" for key, ascending in keys]
