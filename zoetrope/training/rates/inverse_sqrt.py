"""The learning rate falls with the root of the examples seen [Vaswani et al. 2017, arXiv:1706.03762, Sec. 5.3]."""

from pydantic import PositiveInt

from zoetrope.training.rates import Rate


class InverseSqrt(Rate):
    """The peak for the first `after` examples, half of it after four times as many; it does not know when it ends.

    Attributes:
        after: examples from which on the rate falls; the warm-up, if there is one, is a good choice.
    """

    after: PositiveInt = 10_000

    def share(self, examples: int, total: int) -> float:
        return float((self.after / max(self.after, examples)) ** 0.5)
