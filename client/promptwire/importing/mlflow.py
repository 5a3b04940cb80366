"""Prompts of MLflow, from whatever it keeps them in: a database, files, a server. Needs mlflow."""

import re
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any, Final

from promptwire.errors import PromptwireError
from promptwire.importing.carried import Carried, SourceVersion, Track

_PAGE: Final = 100
_CREDENTIALS: Final = re.compile(r"://(?P<user>[^\s/'\"]*)@")
_IS_PROMPT: Final = "tag.`mlflow.prompt.is_prompt` = 'true'"


def read(uri: str, track: Track) -> Carried:
    """All prompts of the registry at a URI, as `mlflow.set_registry_uri` takes it.

    `track` hands on what it is given, and may show how far that is. Raises PromptwireError for what MLflow says.
    """
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise PromptwireError(
            "import mlflow needs mlflow: pip install 'promptwire[mlflow]'", "MISSING_EXTRA"
        ) from error
    carried = Carried(f"mlflow:{_without_credentials(uri)}")
    try:
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        listed = list(_pages(lambda token: client.search_prompts(max_results=_PAGE, page_token=token)))
        for prompt in track(listed):
            _add(carried, client, prompt)
    except PromptwireError:
        raise
    except ImportError as error:
        needed = f"the package {error.name!r}" if error.name else str(error)
        raise PromptwireError(
            f"MLflow needs {needed} for {_without_credentials(uri)}: install it beside mlflow", "MISSING_EXTRA"
        ) from None
    except Exception as error:
        # MLflow lets through what its stores raise (SQLAlchemy, requests), and some of it repeats the URI. Not chained:
        # the original has the password.
        raise PromptwireError(
            f"MLflow at {_without_credentials(uri)}: {_masked(str(error), uri)}", "UNEXPECTED_ANSWER"
        ) from None
    return carried


def _add(carried: Carried, client: Any, prompt: Any) -> None:
    from mlflow.exceptions import MlflowException

    from promptwire.mlflow.content import content_of

    name = prompt.name
    versions: list[SourceVersion] = []
    aliases: dict[str, int] = {}
    filter_string = f"name = '{name}' AND {_IS_PROMPT}"
    for told in _pages(lambda token: client.search_model_versions(filter_string, _PAGE, page_token=token)):
        number = int(told.version)
        # A search leaves aliases out.
        aliases |= dict.fromkeys(client.get_prompt_version(name, number).aliases, number)
        try:
            content = content_of(told.tags)
        except MlflowException as error:
            carried.lost(name, number, "the version", error.message)
            continue
        versions.append(
            SourceVersion(
                number=number,
                template=content.template,
                syntax=content.syntax,
                commit_message=told.description or "",
                tags=content.tags,
                response_format=content.response_format,
                model_config=content.model_config,
                author=told.user_id or "",
                created_ms=told.creation_timestamp,
            )
        )
    carried.add(name, versions, aliases, prompt.tags)


def _pages(fetch: Callable[[str | None], Any]) -> Iterator[Any]:
    token: str | None = None
    while True:
        page = fetch(token)
        yield from page
        token = page.token
        if not token:
            return


def _without_credentials(uri: str) -> str:
    return _CREDENTIALS.sub("://", uri).partition("?")[0]


def _masked(message: str, uri: str) -> str:
    """Returns a message without the credentials of the URI, and of any other URL in it."""
    message = message.replace(uri, _without_credentials(uri))
    if found := _CREDENTIALS.search(uri):
        password = found["user"].partition(":")[2]
        for secret in filter(None, {password, urllib.parse.unquote(password)}):
            message = message.replace(secret, "***")
    return _CREDENTIALS.sub("://", message)
