"""Prompts in files: reading and writing YAML exactly, folders of prompts, what applying one would change."""
