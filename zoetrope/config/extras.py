"""Packages that only some parts need: imported when they are used, and named by the extra that installs them."""

import importlib
from typing import Any


def needed(package: str, extra: str, what: str) -> Any:
    """The module `package`, which `what` needs.

    Raises ValueError that says how to install it, by an extra of ours, if it cannot be imported.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ValueError(
            f"{what}: expected the package {package} to be installed ({error}); try: pip install 'zoetrope[{extra}]'"
        ) from None


def of_diffusers(name: str, what: str) -> Any:
    """The class of diffusers that `what` needs. Raises ValueError as `needed` does."""
    importlib.import_module("huggingface_hub.hf_api")  # imported by way of diffusers it may print errors
    return getattr(needed("diffusers", "diffusers", what), name)
