"""What the installed MLflow has: its older releases lack some of what is tested."""

import mlflow
import pytest
from packaging.version import Version


def needs(version: str) -> pytest.MarkDecorator:
    """Runs with this release of MLflow and newer ones. The newest, which the default tests install, has all of it."""
    return pytest.mark.skipif(Version(mlflow.__version__) < Version(version), reason=f"MLflow has it since {version}")
