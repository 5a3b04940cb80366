"""The transport: gRPC's messages and statuses to and from the registry's values. Nothing is decided here.

Nowhere else is gRPC imported, but in `server.py`.
"""
