"""What a network learns to answer, one objective a file: real noise, or what a teacher makes of it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple

from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.config import Config, Kind
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.networks import NetworkConfig
from zoetrope.schedules import Schedule
from zoetrope.training.times import Times
from zoetrope.training.times.uniform import Uniform

Ask = Callable[[Tensor, Tensor, Conditioning], Tensor]
"""A teacher: (z, logsnr, conditioning) -> what its network outputs, without a graph."""


class Lesson(NamedTuple):
    """Examples on the device: clean videos x and noise like them (B, C, F, H, W), u (B,) in [0, 1), conditioning.

    `times` makes diffusion times of u.
    """

    x: Tensor
    eps: Tensor
    u: Tensor
    given: Conditioning
    times: Times = Uniform()

    def level(self, schedule: Schedule) -> NoiseLevel:
        """The noise level of each example."""
        return schedule(self.times(self.u, schedule))


class Question(NamedTuple):
    """What a network is shown, z (B, C, F, H, W) at a level (B,), and what its output should be, like z."""

    z: Tensor
    level: NoiseLevel
    answer: Tensor


class Teacher(Config):
    """A network to learn from: what it is, and the file of its weights, from the run's folder on.

    The weights that it has in common with the network that learns are what that one starts from.

    Attributes:
        network: its architecture.
        weights: a safetensors file, relative to the run's folder.
    """

    network: NetworkConfig
    weights: str


class Objective(Kind, ABC):
    """What a network learns.

    Attributes:
        teacher: the network to learn from; None learns from data alone.
    """

    folder: ClassVar[str] = "zoetrope.training.objectives"

    teacher: Teacher | None = None

    @abstractmethod
    def __call__(self, stage: StageSpec, lesson: Lesson, ask: Ask | None) -> Question:
        """A question for each example of a lesson; `ask` is the teacher, if there is one."""
