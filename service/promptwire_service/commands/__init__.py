"""What can be asked of the registry, one command a file: what it checks, what it does, what it refuses.

A command is an async function of a Registry and keyword arguments. It returns domain values and raises RegistryError;
it knows nothing of gRPC and nothing of how a store keeps things.
"""
