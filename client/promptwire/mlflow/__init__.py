"""MLflow's prompt registry, kept by Promptwire: a model registry store for `promptwire://` URIs.

MLflow finds it by its entry point; nobody imports it. docs/mlflow.md tells how to use it and what differs.
"""
