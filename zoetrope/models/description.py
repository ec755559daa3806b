"""Descriptions from files of models and runs: the one place where untrusted JSON names kinds."""

from typing import Any, TypeVar

from zoetrope.config import Config
from zoetrope.config.foreign import trusting
from zoetrope.config.strict_json import TOO_DEEP

C = TypeVar("C", bound=Config)


def described(config: type[C], value: Any) -> C:
    """The config that the JSON value of a model, a run or a distillation describes.

    Raises ValueError that names each invalid field by its full path, also for classes of packages that are not trusted:
    the file may come from anyone. See `zoetrope.config.foreign.trusting`.
    """
    try:
        with trusting():
            return config.from_json(value)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    except OverflowError as error:
        raise ValueError(str(error)) from None
