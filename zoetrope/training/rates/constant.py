"""A constant learning rate."""

from zoetrope.training.rates import Rate


class Constant(Rate):
    """The peak of each phase, from warm-up to cool-down."""

    def share(self, examples: int, total: int) -> float:
        return 1.0
