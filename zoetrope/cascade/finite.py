"""Videos that are not finite, which no later stage can use."""

import torch
from torch import Tensor

from zoetrope.cascade.spec import StageSpec


def expect_finite(stage: StageSpec, x_hat: Tensor, dtype: torch.dtype) -> None:
    """Raise ValueError that names the stage if it made NaN or infinity, computing in `dtype`."""
    if not torch.stack(x_hat.aminmax()).isfinite().all():
        mend = "" if dtype == torch.float32 else f", computing in {dtype}; torch.float32 may do"
        raise ValueError(f"stage {stage.name!r}: expected finite values, its network made NaN or infinity{mend}")
