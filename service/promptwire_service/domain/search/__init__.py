"""Searching: what a filter and an order are, how they are written, what they match, and where to look for it."""
