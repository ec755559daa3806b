"""What a cascade costs on a device, stage by stage, before anything runs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from zoetrope.cascade.memory import least_memory
from zoetrope.cascade.spec import StageSpec
from zoetrope.planning.count import flops_of
from zoetrope.planning.devices import Device
from zoetrope.planning.fits import Measured
from zoetrope.planning.work import TOKENS, sampling, training
from zoetrope.training.spec import TrainSpec


class Learning(NamedTuple):
    """The training of a stage.

    Attributes:
        examples, flops, seconds: of the whole curriculum, as the recipe has it.
        checkpointing: whether the recipe recomputes activations instead of keeping them.
        peak_bytes: of weights, their average, gradients, the optimizer's memory and activations.
        peak_bytes_checkpointed, peak_bytes_kept: the same with activations recomputed, and kept. Equal for networks
            that cannot recompute them.
    """

    examples: int
    flops: float
    seconds: float
    checkpointing: bool
    peak_bytes: int
    peak_bytes_checkpointed: int
    peak_bytes_kept: int


class StagePlan(NamedTuple):
    """A stage on a device. Seconds and FLOPs are of one video; a step is all that one denoising step takes.

    Attributes:
        weight_bytes: of the network in memory.
        flops_per_forward: of the network on one video, once; guidance runs it twice in a step.
        peak_bytes: weights, videos and activations when sampling.
        learning: the training of the stage, if the recipe says how.
    """

    name: str
    kind: str
    shape: str
    parameters: int
    weight_bytes: int
    steps: int
    flops_per_forward: float
    flops_per_step: int
    flops: int
    peak_bytes: int
    seconds: float
    learning: Learning | None

    def to_json(self, memory: int) -> dict[str, Any]:
        """Plain values, with whether the stage fits into so many bytes."""
        value = self._asdict()
        learning = value.pop("learning")
        value["seconds_per_step"] = self.seconds / self.steps
        value["fits"] = self.peak_bytes <= memory
        value["training"] = None
        if learning is not None:
            value["training"] = {**learning._asdict(), "fits": learning.peak_bytes <= memory}
        return value


def plan_stage(
    stage: StageSpec,
    device: Device,
    spec: TrainSpec | None,
    memory: int | None = None,
    measured: Measured | None = None,
) -> StagePlan:
    """Count a stage and price it; with its training if `spec` is given.

    It is sampled in the tiles that `memory` bytes ask for; for None, those that the device asks for. Seconds and bytes
    are then corrected by what was `measured` on the device, if given; nothing else is.
    Raises ValueError if not even the smallest tiles fit into `memory`.
    """
    work = sampling(stage, device.dtype, _budget(stage, device) if memory is None else memory)
    steps, seconds, peak = stage.sampling.steps, device.seconds(work.whole), work.peak
    if measured is not None:
        seconds = steps * measured.correct("sampling", "seconds", seconds / steps)
        peak = round(measured.correct("sampling", "bytes", peak))
    return StagePlan(
        name=stage.name,
        kind=stage.kind,
        shape=str(stage.shape),
        parameters=work.parameters,
        weight_bytes=work.weight_bytes,
        steps=steps,
        flops_per_forward=work.flops_per_forward,
        flops_per_step=work.flops_per_step,
        flops=flops_of(work.whole),
        peak_bytes=peak,
        seconds=seconds,
        learning=None if spec is None else _learning(stage, device, spec, measured),
    )


def _budget(stage: StageSpec, device: Device) -> int | None:
    """What a stage is sampled in if nobody says: None, what can be spared here, or all that a GPU has.

    One that is too small for any tiles is planned for all the same: that is worth knowing.
    """
    return None if device.name == "cpu" else max(device.memory, least_memory(stage, 1, TOKENS, torch.device("cuda")))


def totals(stages: Sequence[StagePlan], memory: int) -> dict[str, Any]:
    """Sums over the stages; the peak is the largest, for they run one at a time."""
    learning = [stage.learning for stage in stages if stage.learning is not None]
    value: dict[str, Any] = {
        "parameters": sum(stage.parameters for stage in stages),
        "weight_bytes": sum(stage.weight_bytes for stage in stages),
        "flops": sum(stage.flops for stage in stages),
        "peak_bytes": max(stage.peak_bytes for stage in stages),
        "seconds": sum(stage.seconds for stage in stages),
        "training": None,
    }
    value["fits"] = value["peak_bytes"] <= memory
    if learning:
        value["training"] = {
            "flops": sum(each.flops for each in learning),
            "peak_bytes": max(each.peak_bytes for each in learning),
            "seconds": sum(each.seconds for each in learning),
        }
    return value


def _learning(stage: StageSpec, device: Device, spec: TrainSpec, measured: Measured | None) -> Learning:
    work = training(stage, spec, device.dtype)
    peak, batches = work.peak, [device.seconds(tally) for _, tally, _ in work.phases]
    checkpointing, other = _otherwise(stage)
    if other is None:
        elsewise = work.peak
    else:  # only memory is asked of it, so the phase that needs most will do
        elsewise = training(other, spec.model_copy(update={"phases": (work.largest,)}), device.dtype).peak
    if measured is not None:
        batches = [measured.correct("training", "seconds", seconds) for seconds in batches]
        peak, elsewise = (round(measured.correct("training", "bytes", size)) for size in (peak, elsewise))
    return Learning(
        examples=spec.examples,
        flops=work.flops,
        seconds=sum(
            seconds * phase.examples / phase.batch for seconds, (phase, _, _) in zip(batches, work.phases, strict=True)
        ),
        checkpointing=checkpointing,
        peak_bytes=peak,
        peak_bytes_checkpointed=peak if checkpointing else elsewise,
        peak_bytes_kept=elsewise if checkpointing else peak,
    )


def _otherwise(stage: StageSpec) -> tuple[bool, StageSpec | None]:
    """Whether the stage's network recomputes activations, and the stage with one that does the opposite, if it can."""
    if "checkpointing" not in type(stage.network).model_fields:
        return False, None
    checkpointing = bool(getattr(stage.network, "checkpointing"))  # noqa: B009 - a field of some networks only
    network = stage.network.model_copy(update={"checkpointing": not checkpointing})
    return checkpointing, stage.model_copy(update={"network": network})
