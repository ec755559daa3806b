"""The mean of both neighbours."""

from torch import Tensor

from zoetrope.interpolators import Interpolator


class LinearInterpolation(Interpolator):
    """Exact where every pixel changes evenly with time; what moves further than its own size becomes two ghosts."""

    def __call__(self, before: Tensor, after: Tensor) -> Tensor:
        return before.lerp(after, 0.5)
