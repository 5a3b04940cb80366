"""The registry URI: `promptwire://host:port/namespace`, either part optional."""

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from mlflow.exceptions import MlflowException

from promptwire.mlflow.errors import invalid

SCHEME = "promptwire"


@dataclass(frozen=True, slots=True)
class Address:
    """What the client is made for. None takes the environment's value, or the client's default."""

    target: str | None
    namespace: str | None

    @classmethod
    def read(cls, uri: str) -> "Address":
        """Raises MlflowException. What it says of a token is not repeated: it may be one."""
        parts = urlsplit(uri)
        if parts.scheme != SCHEME:
            raise _invalid(f"must begin with {SCHEME}://; got the scheme {parts.scheme!r}")
        if "@" in parts.netloc:
            raise _invalid("must not hold a user or a token, which would be logged: set PROMPTWIRE_TOKEN instead")
        if parts.query or parts.fragment:
            raise _invalid("has nothing behind the namespace: no '?' and no '#'")
        namespace = unquote(parts.path).strip("/")
        if "/" in namespace:
            raise _invalid(f"has one namespace as its path; got {len(namespace.split('/'))} segments")
        return cls(parts.netloc or None, namespace or None)


def _invalid(rule: str) -> MlflowException:
    return invalid(f"registry URI: {SCHEME}://host:port/namespace {rule}")
