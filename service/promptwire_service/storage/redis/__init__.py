"""The one real store: Redis >= 7.0 or Valkey >= 7.2. Its scripts are in `lua/`; `store.py` calls them."""
