"""What Redis says when it fails, as the caller is told it."""

import pytest
from redis.exceptions import ResponseError

from promptwire_service.domain.errors import RegistryError
from promptwire_service.storage.redis.failures import translated


@pytest.mark.parametrize(
    "said",
    [
        "WAIT cannot be used with replica instances. Please also note that if a replica is configured to be writable",
        "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
    ],
)
def test_a_primary_that_is_demoted_before_replicas_have_the_write_is_out_of_reach(said: str) -> None:
    with pytest.raises(RegistryError, match="became a replica") as refused, translated():
        raise ResponseError(said)
    assert refused.value.reason == "STORE_UNAVAILABLE"


def test_an_error_that_shows_a_bug_of_ours_goes_through() -> None:
    with pytest.raises(ResponseError), translated():
        raise ResponseError("wrong number of arguments")
