"""Descriptions from files of models and runs: the one place where JSON that nobody vouches for names kinds."""

from typing import Any, TypeVar

from zoetrope.config import Config
from zoetrope.strict_json import TOO_DEEP

C = TypeVar("C", bound=Config)


def described(config: type[C], value: Any) -> C:
    """The config that the JSON value of a model, a run or a distillation describes.

    Raises ValueError that names each offending field by its full path.
    """
    try:
        return config.from_json(value)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    except OverflowError as error:
        raise ValueError(str(error)) from None
