"""Points an alias at weighted versions, moving as few keys from one version to another as can be."""

import json
import uuid
from collections.abc import Mapping
from typing import Final

from promptwire.domain.names import check_alias, check_namespace, check_prompt_name, check_version
from promptwire.domain.splits import Split, Target, check_weights, reweighted
from promptwire_service.commands.context import Registry
from promptwire_service.commands.options import WriteOptions, check_expected
from promptwire_service.domain.errors import RegistryError, prompt_not_found, refuse
from promptwire_service.domain.operations import SetAlias, Written

_RETRIES: Final = 20


async def set_alias_split(
    registry: Registry,
    *,
    namespace: str,
    name: str,
    alias: str,
    weights: Mapping[int, float],
    salt: str | None,
    expected_version: int | None,
    options: WriteOptions,
) -> Written:
    """Which buckets move depends on where the alias points now: so it is read, and the write expects it there; if
    somebody else was faster, once more. Without a salt it keeps the one that it has, or gets a random one.

    A repeat of the request id gets the first answer, whatever happened since. The store refuses what `set_alias` does.
    """
    refuse(
        check_namespace(namespace),
        check_prompt_name(name),
        check_alias(alias),
        check_weights(weights),
        *(check_version(version, "weights") for version in weights),
        check_expected(expected_version, "expected_version"),
        *options.violations(),
    )
    asked = json.dumps([name, alias, sorted(weights.items()), salt, expected_version, options.reason])
    for attempt in range(_RETRIES):
        current = await _current(registry, namespace, name, alias)
        if expected_version is not None:
            current = expected_version
        split = reweighted(current, weights, _salt(current, salt, options.request_id))
        operation = SetAlias(name=name, alias=alias, target=split, expected=current)
        try:
            return await registry.store.write(namespace, options.write(operation, asked=asked))
        except RegistryError as error:
            if error.reason != "ALIAS_CONFLICT" or expected_version is not None or attempt == _RETRIES - 1:
                raise
    raise AssertionError("the last attempt raises")


async def _current(registry: Registry, namespace: str, name: str, alias: str) -> Target:
    prompt = (await registry.store.read_prompts(namespace, [name])).value[0]
    if prompt is None:
        raise prompt_not_found(name)
    return prompt.target_of(alias)


def _salt(current: Target, given: str | None, request_id: str) -> str:
    if given is not None:
        return given
    # Of the request's id, so that a repeat makes the same.
    return current.salt if isinstance(current, Split) else uuid.uuid5(uuid.NAMESPACE_OID, request_id).hex[:12]
