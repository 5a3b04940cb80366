"""The sizes that the registry accepts, with their units in their names."""

from typing import Final

NAME_MAX_BYTES: Final = 256
NAMESPACE_MAX_CHARS: Final = 64
ALIAS_MAX_CHARS: Final = 64
ALIASES_MAX_PER_PROMPT: Final = 1_000
ROLLBACKS_MAX: Final = 1_000
"""How many states of an alias are kept to roll back to, one after the other; its history is kept for ever."""
TAG_KEY_MAX_CHARS: Final = 250
TAG_VALUE_MAX_CHARS: Final = 100_000
TAGS_MAX: Final = 100
TAGS_MAX_BYTES: Final = 256 << 10
"""Keys and values of a version's tags, or a prompt's, in UTF-8."""
DELETED_VERSIONS_MAX: Final = 10_000
"""Of one prompt, purged ones too: their tombstones are a part of it."""
CONTENT_MAX_BYTES: Final = 1 << 20
PLACES_MAX: Final = 10_000
"""Most occurrences of `{{` in a prompt's texts."""
VARIABLES_MAX: Final = 1_000
COMMIT_MESSAGE_MAX_CHARS: Final = 10_000
REASON_MAX_CHARS: Final = 10_000
ACTOR_MAX_CHARS: Final = 256
REQUEST_ID_MAX_CHARS: Final = 128
CLIENT_ID_MAX_CHARS: Final = 128
SPLIT_KEY_MAX_CHARS: Final = 1_000
METRIC_MAX_CHARS: Final = 128
METRIC_VALUE_MAX: Final = 1e15
METRICS_MAX: Final = 50
METRIC_NAMES_MAX: Final = 200
"""Different metrics of one prompt; a name counts until all that was observed under it is gone."""
METRIC_SERIES_MAX: Final = 1_000
"""Different series (version, alias, tags) of one prompt within an hour; what is beyond is kept by version alone, for as
many versions.
"""
METRIC_TAGS_MAX: Final = 10
METRIC_TAG_MAX_CHARS: Final = 100
PAGE_DEFAULT: Final = 100
PAGE_MAX: Final = 1_000
BATCH_MAX: Final = 1_000
SUBSCRIPTIONS_MAX_PER_MESSAGE: Final = 10_000
SELECTORS_MAX_PER_MESSAGE: Final = 10_000
"""Aliases and versions of all subscriptions in one message together."""
FEED_NAMES_MAX: Final = 10_000
METRICS_QUERIED_MAX: Final = 1_000
VERSIONS_QUERIED_MAX: Final = 1_000
OBSERVED_MAX_PER_REQUEST: Final = 10_000
"""Values and tags of all observations in one request together."""
RELEASE_STEPS_MAX: Final = 1_000
RELEASE_TITLE_MAX_CHARS: Final = 200
RELEASE_ENTRIES_MAX: Final = 5_000
"""Tags, aliases and includes of all steps of a release together."""
REFERENCE_MAX_CHARS: Final = NAME_MAX_BYTES + 100
BATCH_REFERENCE_MAX_CHARS: Final = 4_096
"""Of one reference in a batch. A longer one fails the batch; up to that size, a bad reference fails by itself."""
FILTER_MAX_CHARS: Final = 10_000
ORDER_KEYS_MAX: Final = 8
ORDER_KEY_MAX_CHARS: Final = 1_000
PAGE_TOKEN_MAX_CHARS: Final = 16_384
EPOCH_MAX_CHARS: Final = 128
DIGEST_MAX_CHARS: Final = 128
SYMBOL_MAX_CHARS: Final = 1_000
"""Of a service, message or file that health and reflection are asked about."""
TIME_MIN_MS: Final = 100_000_000_000
"""In milliseconds a day in March 1973, in seconds the year 5138: a smaller number, other than 0, is of seconds."""
TIME_MAX_MS: Final = 253_402_300_799_999
"""The end of the year 9999, past which no protobuf Timestamp goes."""
SELECTORS_MAX_PER_PROMPT: Final = 100_000
"""Aliases and versions of one prompt that a stream follows: what lists them has to fit into a message."""
HELD_MAX_PER_MESSAGE: Final = 20_000
"""Tokens of all subscriptions in one message together."""
TOKEN_MAX_BYTES: Final = 16
VERSION_MAX: Final = (1 << 63) - 1

REQUEST_MAX_BYTES: Final = 4 << 20
"""Largest request, but for the few whose parts are many."""
LARGE_REQUEST_MAX_BYTES: Final = 16 << 20
"""Largest request that releases, records metrics or subscribes; each part of it has limits of its own."""

ANSWER_MAX_BYTES: Final = 4 << 20
"""Largest message that the service sends: what every gRPC client takes unless it is told otherwise."""
