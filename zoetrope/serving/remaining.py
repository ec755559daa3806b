"""The remaining time of a job: what `zoetrope plan` predicts, corrected by the time that the job took so far."""

import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from zoetrope.cascade.spec import StageSpec
    from zoetrope.planning.devices import Device

TRUST = 0.5
"""Seconds of predicted work after which half of the correction is by what was measured."""
UNBOUNDED = 2**62  # bytes: stages are planned in one piece, which is counted once for all machines


class Remaining:
    """Seconds that are left, by stage and step.

    Between predictions p and the seconds m that the same work took, the correction is (m + T) / (p + T): near 1 at the
    beginning, and m / p once p is well above T.
    """

    def __init__(self, seconds: Sequence[float], clock: Callable[[], float] = time.monotonic) -> None:
        """`seconds` is what each stage is predicted to take."""
        self.seconds, self.times, self.clock = list(seconds), 1, clock
        self.begun = clock()

    def at(self, done: int, stage: int, share: float) -> tuple[float, float]:
        """The finished share of all work, and the seconds that are left.

        After `done` whole rounds, all stages before number `stage` of this round, and this share of it.
        """
        one, whole = sum(self.seconds), sum(self.seconds) * max(self.times, done + 1)
        past = done * one + sum(self.seconds[:stage]) + share * self.seconds[stage]
        took = self.clock() - self.begun
        left = (whole - past) * (took + TRUST) / (past + TRUST)
        return (past / whole if whole else 1.0), left


def predicted(stages: "Sequence[StageSpec]", device: "torch.device", dtype: "torch.dtype") -> list[float]:
    """The seconds that each stage is predicted to take for one video.

    Of a GPU without published figures they are in proportion to FLOPs, at 10 TFLOP/s.
    """
    from zoetrope.planning.plan import plan_stage

    place = _device(device.type, dtype)
    return [plan_stage(stage, place, None, UNBOUNDED).seconds for stage in stages]


def prepare(device: "torch.device", dtype: "torch.dtype") -> None:
    """Find out how fast the device is, once a process."""
    _device(device.type, dtype)


@lru_cache(maxsize=4)
def _device(kind: str, dtype: "torch.dtype") -> "Device":
    """What stages are planned for; the CPU's speed is measured once a process."""
    import torch

    from zoetrope.planning.calibrate import cpu
    from zoetrope.planning.devices import Device, gpu, of_card

    if kind == "cpu":
        return cpu(dtype, training=False)
    try:
        return gpu(of_card(torch.cuda.get_device_name()))._replace(dtype=dtype)
    except (ValueError, RuntimeError, AssertionError):
        return Device(kind, kind, UNBOUNDED, dtype, lambda operation: operation.flops / 1e13)
