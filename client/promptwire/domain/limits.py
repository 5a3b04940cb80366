"""The sizes that the registry accepts, with their units in their names."""

from typing import Final

NAME_MAX_BYTES: Final = 256
NAMESPACE_MAX_CHARS: Final = 64
ALIAS_MAX_CHARS: Final = 64
ALIASES_MAX_PER_PROMPT: Final = 1_000
TAG_KEY_MAX_CHARS: Final = 250
TAG_VALUE_MAX_CHARS: Final = 100_000
TAGS_MAX: Final = 100
TAGS_MAX_BYTES: Final = 256 << 10
"""Keys and values of a version's tags, or a prompt's, in UTF-8."""
CONTENT_MAX_BYTES: Final = 1 << 20
COMMIT_MESSAGE_MAX_CHARS: Final = 10_000
REASON_MAX_CHARS: Final = 10_000
ACTOR_MAX_CHARS: Final = 256
REQUEST_ID_MAX_CHARS: Final = 128
CLIENT_ID_MAX_CHARS: Final = 128
SPLIT_KEY_MAX_CHARS: Final = 1_000
METRIC_MAX_CHARS: Final = 128
METRIC_VALUE_MAX: Final = 1e15
METRICS_MAX: Final = 50
METRIC_TAGS_MAX: Final = 10
METRIC_TAG_MAX_CHARS: Final = 100
PAGE_DEFAULT: Final = 100
PAGE_MAX: Final = 1_000
BATCH_MAX: Final = 1_000
SUBSCRIPTIONS_MAX_PER_MESSAGE: Final = 10_000
VERSION_MAX: Final = (1 << 63) - 1

MESSAGE_MAX_BYTES: Final = 128 << 20
"""Largest gRPC message either side sends or takes: 100 tags of 100,000 four-byte characters, twice, and room to
spare.
"""
