"""Zoetrope: cascaded text-to-video diffusion models, after Imagen Video [Ho et al. 2022, arXiv:2210.02303]."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoetrope.models.cascade import Cascade
    from zoetrope.video import Video

__version__ = "0.1.0"
__all__ = ["Cascade", "Video", "__version__"]

_HOMES = {"Cascade": "zoetrope.models.cascade", "Video": "zoetrope.video"}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that importing the package costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'zoetrope' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
