"""MLflow's model registry store on a Promptwire client: prompts in MLflow's words, kept as Promptwire's own.

MLflow makes one for each registry URI in a process, shares it between threads, and may pickle it.
"""

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from mlflow.entities.model_registry import (
    ModelVersion,
    ModelVersionTag,
    Prompt,
    PromptVersion,
    RegisteredModel,
    RegisteredModelTag,
)
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS
from mlflow.store.entities.paged_list import PagedList

import promptwire
from promptwire._core.operations import Operation, Page
from promptwire.domain import limits
from promptwire.domain.names import LATEST
from promptwire.mlflow import search
from promptwire.mlflow.address import SCHEME, Address
from promptwire.mlflow.caches import Answered, LinkedPrompts, turn_off_prompt_cache
from promptwire.mlflow.content import IS_PROMPT_TAG_KEY, check_writable, content_of
from promptwire.mlflow.entities import (
    DESCRIPTION_TAG_KEY,
    SOURCE,
    FoundPrompt,
    model_version,
    prompt_version,
    registered_model,
)
from promptwire.mlflow.errors import invalid, outcome_unknown, prompts_only, translated, translation
from promptwire.mlflow.pending import Intent, Pending
from promptwire.mlflow.prompts_only import PromptsOnly

Item = TypeVar("Item")

_log = logging.getLogger("promptwire")

FRESH_SECONDS: Final = 600.0
"""How long after a prompt's first version a deletion without a name for why may be the end of a failed registration:
MLflow's HTTP client goes on for minutes.
"""


class PromptwireStore(PromptsOnly):
    """See the module. Raises MlflowException only."""

    def __init__(self, store_uri: str | None = None, tracking_uri: str | None = None) -> None:
        super().__init__(store_uri, tracking_uri)
        self._made_of = (store_uri, tracking_uri)
        address = Address.read(store_uri or f"{SCHEME}://")
        try:
            self._client = promptwire.Client(address.target, namespace=address.namespace)
        except promptwire.PromptwireError as error:
            raise translation(error) from error
        self._pending = Pending()
        self._linked = LinkedPrompts()
        self._answered = Answered()
        turn_off_prompt_cache()

    def __reduce__(self) -> tuple[type["PromptwireStore"], tuple[str | None, str | None]]:
        return type(self), self._made_of

    # Prompts, which MLflow calls registered models

    @translated
    def create_registered_model(
        self,
        name: str,
        tags: Iterable[RegisteredModelTag] | None = None,
        description: str | None = None,
        deployment_job_id: str | None = None,
    ) -> RegisteredModel:
        """Writes nothing: the prompt begins with its first version, by this process or another."""
        given = {tag.key: tag.value for tag in tags or ()}
        if given.pop(IS_PROMPT_TAG_KEY, "") != "true":
            raise prompts_only(name)
        try:
            self._client.get_prompt(name)
        except promptwire.PromptNotFoundError as error:
            if error.reason == "PROMPT_DELETED":
                raise MlflowException(
                    f"{error}, and its name is taken until it is purged: `promptwire undelete` brings it back",
                    RESOURCE_ALREADY_EXISTS,
                ) from error
            intent = Intent(name, description, given)
            if self._pending.begin(intent):
                return intent.as_registered_model()
        raise MlflowException(f"Prompt (name={name}) already exists.", RESOURCE_ALREADY_EXISTS)

    @translated
    def get_registered_model(self, name: str) -> RegisteredModel:
        try:
            return registered_model(self._client.get_prompt(name))
        except promptwire.PromptNotFoundError:
            if intent := self._pending.get(name):
                return intent.as_registered_model()
            raise

    @translated
    def update_registered_model(
        self, name: str, description: str | None, deployment_job_id: str | None = None
    ) -> RegisteredModel:
        if description:
            self._client.set_prompt_tag(name, DESCRIPTION_TAG_KEY, description)
        else:
            self._client.delete_prompt_tag(name, DESCRIPTION_TAG_KEY)
        return self.get_registered_model(name)

    @translated
    def delete_registered_model(self, name: str) -> None:
        """MLflow's way to clean up after a first version that failed, also one that was written without an answer, and
        its HTTP server's to delete a prompt. The first deletes nothing but the intent.
        """
        if self._pending.end(name):
            return
        prompt = self._client.get_prompt(name)
        if prompt.latest_version == 1 and time.time() - prompt.creation_timestamp / 1000 < FRESH_SECONDS:
            raise invalid(
                f"{name!r} is new, and this may be MLflow cleaning up after a registration without an answer: it was "
                f"not deleted. It can be {FRESH_SECONDS:g} s after its first version, or by MlflowClient.delete_prompt"
            )
        self._client.delete_prompt(name)

    @translated
    def delete_prompt(self, name: str) -> None:
        intent = self._pending.end(name)
        try:
            self._client.delete_prompt(name)
        except promptwire.PromptNotFoundError:
            if intent is None:
                raise
        finally:
            self._changed(name)

    @translated
    def set_registered_model_tag(self, name: str, tag: RegisteredModelTag) -> None:
        check_writable(tag.key)
        if tag.key == IS_PROMPT_TAG_KEY:
            return _check_still_a_prompt(name, tag.value)
        self._changed(name)
        try:
            self._client.set_prompt_tag(name, tag.key, tag.value)
        except promptwire.PromptNotFoundError:
            if not self._pending.change_tags(name, {tag.key: tag.value}):
                raise

    @translated
    def delete_registered_model_tag(self, name: str, key: str) -> None:
        check_writable(key)
        if key == IS_PROMPT_TAG_KEY:
            return _check_still_a_prompt(name, "")
        self._changed(name)
        try:
            self._client.delete_prompt_tag(name, key)
        except promptwire.PromptNotFoundError:
            if not self._pending.change_tags(name, {key: None}):
                raise

    @translated
    def search_registered_models(
        self,
        filter_string: str | None = None,
        max_results: int | None = None,
        order_by: Iterable[str] | None = None,
        page_token: str | None = None,
    ) -> PagedList[RegisteredModel]:
        most = search.most_prompts(max_results)
        wanted, order = search.prompts_filter(filter_string), search.prompts_order(order_by)
        if wanted is None:
            return PagedList([], None)
        prompts, token = self._page(self._client._core.operations.search_prompts, wanted, order, most, page_token)
        return PagedList([registered_model(one) for one in prompts], token)

    def search_prompts(
        self,
        filter_string: str | None = None,
        max_results: int | None = None,
        order_by: list[str] | None = None,
        page_token: str | None = None,
    ) -> PagedList[Prompt]:
        # The releases before 3.17 take no order.
        order = {} if order_by is None else {"order_by": order_by}
        found = super().search_prompts(filter_string, max_results=max_results, page_token=page_token, **order)
        return PagedList([FoundPrompt(one, self._newest) for one in found], found.token)

    @translated
    def get_prompt(self, name: str) -> Prompt | None:
        """None if there is none, and only then."""
        if (linked := self._linked.get(name)) is not None:
            return linked
        try:
            model = self.get_registered_model(name)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
        prompt = Prompt(model.name, model.description, model.creation_timestamp, model.tags)
        self._linked.put(prompt)
        return prompt

    # Versions

    @translated
    def create_model_version(
        self,
        name: str,
        source: str,
        run_id: str | None = None,
        tags: Iterable[ModelVersionTag] | None = None,
        run_link: str | None = None,
        description: str | None = None,
        local_model_path: str | None = None,
        model_id: str | None = None,
    ) -> ModelVersion:
        """One write, repeated under one request id until it is answered; and for a new prompt one more, of its tags."""
        given = {tag.key: str(tag.value) for tag in tags or ()}
        if IS_PROMPT_TAG_KEY not in given:
            raise prompts_only(name)
        content, intent = content_of(given), self._pending.get(name)
        if intent is None and source == SOURCE:
            # Of create_prompt_version. The others register prompts, whose intent may be with another server's process.
            self._client.get_prompt(name)
        self._changed(name)
        try:
            version = self._client.register_prompt(
                name,
                content.template,
                commit_message=description,
                tags=content.tags,
                response_format=content.response_format,
                model_config=content.model_config,
                syntax=content.syntax,
            )
        except promptwire.UnavailableError as error:
            raise outcome_unknown(name, error) from error
        if intent is not None or version.version == 1:
            prompt_tags = dict(content.tags if intent is None else intent.tags)
            note = description if intent is None else intent.description
            if note and version.version == 1:
                prompt_tags[DESCRIPTION_TAG_KEY] = note
            if prompt_tags:
                self._client.set_prompt_tags(name, prompt_tags)
        self._pending.end(name)
        return model_version(version)

    @translated
    def get_model_version(self, name: str, version: int | str) -> ModelVersion:
        return model_version(self._version(name, version))

    @translated
    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        return model_version(self._by_alias(name, alias))

    @translated
    def get_prompt_version(self, name: str, version: int | str) -> PromptVersion:
        """Of a number, or an alias."""
        number = str(version)
        if not number.isdecimal():
            return self.get_prompt_version_by_alias(name, number)
        found = self._answered.take(name, int(number)) or self._version(name, number)
        return prompt_version(found)

    @translated
    def get_prompt_version_by_alias(self, name: str, alias: str) -> PromptVersion:
        """MLflow then asks for the version by its number, and gets this one again."""
        found = self._by_alias(name, alias)
        self._answered.put(found)
        return prompt_version(found)

    @translated
    def get_latest_versions(self, name: str, stages: Iterable[str] | None = None) -> list[ModelVersion]:
        if not self._client.get_prompt(name).latest_version:
            return []
        return [model_version(self._by_alias(name, LATEST))]

    @translated
    def delete_model_version(self, name: str, version: int | str) -> None:
        """Its aliases go with it."""
        self._changed(name)
        self._client.delete_prompt_version(name, _number(version), drop_aliases=True)

    @translated
    def set_model_version_tag(self, name: str, version: int | str, tag: ModelVersionTag) -> None:
        check_writable(tag.key)
        if tag.key == IS_PROMPT_TAG_KEY:
            return _check_still_a_prompt(name, tag.value)
        self._changed(name)
        self._client.set_prompt_version_tag(name, _number(version), tag.key, str(tag.value))

    @translated
    def delete_model_version_tag(self, name: str, version: int | str, key: str) -> None:
        check_writable(key)
        if key == IS_PROMPT_TAG_KEY:
            return _check_still_a_prompt(name, "")
        self._changed(name)
        self._client.delete_prompt_version_tag(name, _number(version), key)

    @translated
    def search_model_versions(
        self,
        filter_string: str | None = None,
        max_results: int | None = None,
        order_by: Iterable[str] | None = None,
        page_token: str | None = None,
    ) -> PagedList[ModelVersion]:
        most = search.most_versions(max_results)
        wanted, order = search.versions_filter(filter_string), search.versions_order(order_by)
        if wanted is None:
            return PagedList([], None)
        versions, token = self._page(self._client._core.operations.search_versions, wanted, order, most, page_token)
        return PagedList([model_version(one) for one in versions], token)

    @translated
    def search_prompt_versions(
        self, name: str, max_results: int | None = None, page_token: str | None = None
    ) -> PagedList[PromptVersion]:
        """The newest first. What MLflow cannot hold is left out, and logged."""
        self.get_registered_model(name)
        most = search.most_versions(100 if max_results is None else max_results)
        versions, token = self._page(
            self._client._core.operations.search_versions, search.named(name), (), most, page_token
        )
        found = []
        for one in versions:
            try:
                found.append(prompt_version(one))
            except MlflowException as error:
                _log.warning("left out of the versions of %s: %s", name, error)
        return PagedList(found, token)

    # Aliases

    @translated
    def set_registered_model_alias(self, name: str, alias: str, version: int | str) -> None:
        self._changed(name)
        self._client.set_prompt_alias(name, alias, _number(version))

    @translated
    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """One that is not there is none afterwards either."""
        self._changed(name)
        self._client.delete_prompt_alias(name, alias, allow_missing=True)

    def _version(self, name: str, version: int | str) -> promptwire.PromptVersion:
        """From the live table, as aliases are: a version's tags and aliases change."""
        return self._client.load_prompt(name, version=_number(version))

    def _by_alias(self, name: str, alias: str) -> promptwire.PromptVersion:
        return self._client.load_prompt(f"prompts:/{name}@{LATEST if alias.lower() == LATEST else alias}")

    @translated
    def _newest(self, name: str) -> promptwire.PromptVersion:
        return self._by_alias(name, LATEST)

    def _changed(self, name: str) -> None:
        """Before a write, since it may happen whatever is answered."""
        self._linked.forget(name)
        self._answered.forget()

    def _page(
        self,
        operations: Callable[[str | None, Iterable[str], int], Callable[[str], Operation[Any, Any, Page[Item]]]],
        wanted: str | None,
        order: Iterable[str],
        most: int,
        token: str | None,
    ) -> tuple[list[Item], str | None]:
        """`most` items, if there are so many, and the token for what comes then. The service answers with fewer as it
        likes.
        """
        items: list[Item] = []
        token = token or ""
        while len(items) < most:
            size = min(most - len(items), limits.PAGE_MAX)
            more, token = self._client._call(operations(wanted, order, size)(token))
            items += more
            if not token:
                return items, None
        return items, token


def _number(version: int | str) -> int:
    try:
        return int(version)
    except ValueError as error:
        raise invalid(f"version: must be a whole number; got {version!r}") from error


def _check_still_a_prompt(name: str, value: str) -> None:
    if value != "true":
        raise invalid(f"{name!r} is a prompt and stays one: {IS_PROMPT_TAG_KEY} is true")
