"""Staying right: following each namespace's log, keeping caches coherent, telling watchers."""
