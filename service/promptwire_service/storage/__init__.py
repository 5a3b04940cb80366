"""Keeping prompts: the Store protocol, the real store on Redis, the memory one for tests, and the cache that wraps
either.
"""
