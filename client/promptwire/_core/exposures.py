"""Telling the application which version of a split alias a load was given."""

import logging
from collections.abc import Callable

from promptwire._core.split_alias import SplitAlias
from promptwire.values import Exposure

_log = logging.getLogger("promptwire")


class Exposures:
    """Calls the application's hook, in the thread that loads. Its errors are its own: logged once, never raised."""

    __slots__ = ("_failed", "_hook")

    def __init__(self, hook: Callable[[Exposure], object] | None) -> None:
        self._hook = hook
        self._failed = False

    def tell(self, reference: str, split: SplitAlias, bucket: int, key: str | None) -> None:
        if self._hook is None:
            return
        try:
            self._hook(
                Exposure(
                    reference=reference,
                    name=split.name,
                    alias=split.alias,
                    version=split.split.version_in(bucket),
                    key=key,
                    bucket=bucket,
                )
            )
        except Exception:
            if not self._failed:
                self._failed = True
                _log.exception("on_exposure failed; this is logged once")
