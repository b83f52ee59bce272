"""Fixtures and helpers of another folder's tests."""

import importlib.util
from pathlib import Path
from types import ModuleType

_HERE = Path(__file__).parent


def borrowed(path: str) -> ModuleType:
    """A file of the tests as a module of its own.

    Args:
        path: from the folder of the tests, as "animation/conftest.py".
    """
    name = path.removesuffix(".py").replace("/", "_")
    spec = importlib.util.spec_from_file_location(name, _HERE / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
