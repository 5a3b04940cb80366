"""What the installed MLflow has: its older releases lack some of what is tested."""

import mlflow
import pytest
from packaging.version import Version


def needs(version: str) -> pytest.MarkDecorator:
    """Runs with this release of MLflow, the first tested one that has it, and newer ones; all run in `make test`."""
    return pytest.mark.skipif(
        Version(mlflow.__version__) < Version(version), reason=f"tested with MLflow {version} and newer"
    )
