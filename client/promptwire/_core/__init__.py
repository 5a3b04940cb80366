"""The one core under the client's faces. Private: only `promptwire` itself imports it."""
