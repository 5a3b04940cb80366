"""Prompts and versions as MLflow's entities."""

from collections.abc import Callable
from typing import Final

from mlflow.entities.model_registry import ModelVersion, ModelVersionTag, RegisteredModel, RegisteredModelTag
from mlflow.entities.model_registry import Prompt as MlflowPrompt
from mlflow.entities.model_registry import PromptVersion as MlflowPromptVersion
from mlflow.entities.model_registry.registered_model_alias import RegisteredModelAlias
from mlflow.prompt.registry_utils import model_version_to_prompt_version

from promptwire.mlflow.content import IS_PROMPT_TAG_KEY, is_jinja, tags_of
from promptwire.mlflow.errors import invalid
from promptwire.prompt_version import PromptVersion
from promptwire.values import Prompt

DESCRIPTION_TAG_KEY: Final = "mlflow.note.content"
"""MLflow's own name for a description, elsewhere: of a prompt, which has none in Promptwire, it is this tag."""

SOURCE: Final = "prompt-template"
"""Where a model's files would be; MLflow wants something there."""


def registered_model(prompt: Prompt) -> RegisteredModel:
    """A prompt as MLflow's list of prompts shows it: its newest version without content."""
    tags = dict(prompt.tags)
    description = tags.pop(DESCRIPTION_TAG_KEY, None)
    latest = prompt.latest_version
    newest = [
        ModelVersion(
            name=prompt.name,
            version=str(latest),
            creation_timestamp=prompt.last_updated_timestamp,
            last_updated_timestamp=prompt.last_updated_timestamp,
            current_stage="None",
            source=SOURCE,
            tags=[ModelVersionTag(IS_PROMPT_TAG_KEY, "true")],
            aliases=[alias for alias, version in sorted(prompt.aliases.items()) if version == latest],
        )
    ]
    return RegisteredModel(
        name=prompt.name,
        creation_timestamp=prompt.creation_timestamp,
        last_updated_timestamp=prompt.last_updated_timestamp,
        description=description,
        latest_versions=newest if latest else [],
        tags=registered_model_tags(tags),
        aliases=[RegisteredModelAlias(alias, version) for alias, version in sorted(prompt.aliases.items())],
    )


def registered_model_tags(tags: dict[str, str]) -> list[RegisteredModelTag]:
    return [RegisteredModelTag(key, value) for key, value in {**tags, IS_PROMPT_TAG_KEY: "true"}.items()]


def model_version(version: PromptVersion) -> ModelVersion:
    """A version with its content, in MLflow's reserved tags."""
    return ModelVersion(
        name=version.name,
        version=str(version.version),
        creation_timestamp=version.creation_timestamp,
        # Nothing of it changes but tags and aliases, which do not count as changes in MLflow's own stores.
        last_updated_timestamp=version.creation_timestamp,
        description=version.commit_message or None,
        user_id=version.author or None,
        current_stage="None",
        source=SOURCE,
        tags=[ModelVersionTag(key, value) for key, value in tags_of(version).items()],
        aliases=list(version.aliases),
    )


def prompt_version(version: PromptVersion) -> MlflowPromptVersion:
    """A version as MLflow's users get it. Raises MlflowException for what MLflow would render otherwise."""
    if version.syntax and not is_jinja(version.template):
        raise invalid(f"{version.uri} is Jinja2 without {{% %}}, by which MLflow knows it: load it with promptwire")
    try:
        return model_version_to_prompt_version(model_version(version))
    except ValueError as error:
        raise invalid(f"{version.uri} has messages that MLflow has no form for: load it with promptwire") from error


class FoundPrompt(MlflowPrompt):
    """What a search finds: MLflow's prompt, which also tells of its newest version. MLflow's own does not, but guides
    ask it for that.
    """

    def __init__(self, prompt: MlflowPrompt, newest: Callable[[str], PromptVersion]) -> None:
        super().__init__(prompt.name, prompt.description, prompt.creation_timestamp, prompt.tags)
        self._newest = newest

    @property
    def version(self) -> int:
        return self._newest(self.name).version

    @property
    def commit_message(self) -> str | None:
        return self._newest(self.name).commit_message or None

    @property
    def aliases(self) -> list[str]:
        return list(self._newest(self.name).aliases)
