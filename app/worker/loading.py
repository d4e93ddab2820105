"""Finds the registry that a user's program defines: ``package.module:name``."""

import importlib
import sys
from pathlib import Path

from app.errors import SettingsError
from app.registry import TaskRegistry


def load_registry(target: str) -> TaskRegistry:
    """Import ``module:name`` (also from the working directory) and return that registry.

    Raises:
        SettingsError: it cannot be imported, or is no ``TaskRegistry``; says which and why.
    """
    module_name, colon, name = target.partition(":")
    if not (colon and module_name and name):
        raise SettingsError(f"--app must look like MODULE:registry, not {target!r}.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        # A user's module may fail in any way while it is imported.
        raise SettingsError(
            f"The module {module_name!r} of --app cannot be imported:"
            f" {type(error).__name__}: {error}."
        ) from error
    found = getattr(module, name, None)
    if not isinstance(found, TaskRegistry):
        what = "no such name" if found is None else f"a {type(found).__name__}"
        raise SettingsError(
            f"{target!r} must name a TaskRegistry; {module_name!r} has {what} there."
        )
    return found
