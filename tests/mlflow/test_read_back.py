"""Whatever registration accepts is read back byte for byte through MLflow, and what MLflow registers by our client."""

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.genai import load_prompt

import promptwire
from tests.integration.test_read_back import MESSAGES, OBJECTS, TAGS, TEMPLATES, TEXTS

pytestmark = pytest.mark.usefixtures("on_promptwire")

_numbers = itertools.count(1)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEMPLATES | MESSAGES, TAGS, TEXTS, st.none() | OBJECTS)
def test_what_is_accepted_is_read_back_through_mlflow(
    native: promptwire.Client, template: Any, tags: dict[str, str], message: str, schema: dict[str, Any] | None
) -> None:
    name = f"p{next(_numbers)}"
    try:
        made = native.register_prompt(name, template, message, tags, response_format=schema)
    except promptwire.InvalidArgumentError:
        return
    try:
        prompt = load_prompt(name, version=made.version)
    except MlflowException as error:
        # Placeholders and the like: named, and nothing is given for what it is not.
        if "has messages that MLflow has no form for" not in str(error):
            raise
        return
    assert prompt.template == made.template
    assert {key: value for key, value in prompt.tags.items() if not key.startswith("_mlflow")} == tags
    assert (prompt.commit_message or "") == message
    assert (prompt.response_format or None) == (schema or None)
