"""The cost of a cascade on a device, stage by stage, before anything runs."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from zoetrope.cascade.spec import StageSpec
from zoetrope.planning.count import flops_of
from zoetrope.planning.devices import Device, torch_device
from zoetrope.planning.fits import Measured
from zoetrope.planning.kept import sampling, training
from zoetrope.planning.work import Sampling, Training
from zoetrope.training.distil import plan as distillation
from zoetrope.training.grids import stretches
from zoetrope.training.spec import Recipe, TrainSpec


class TrainingPlan(NamedTuple):
    """The training of a stage.

    Attributes:
        examples, flops, seconds: of the recipe's whole curriculum; seconds by whichever is slower in a phase, the
            network or the data.
        network_seconds: of the network alone.
        data_seconds: to make the examples beside it; None: unknown.
        checkpointing: whether the recipe recomputes activations instead of keeping them.
        peak_bytes: of weights, their average, gradients, optimizer states and activations.
        peak_bytes_checkpointed, peak_bytes_kept: the same with activations recomputed, and kept. Equal for networks
            that cannot recompute them.
    """

    examples: int
    flops: float
    seconds: float
    network_seconds: float
    data_seconds: float | None
    checkpointing: bool
    peak_bytes: int
    peak_bytes_checkpointed: int
    peak_bytes_kept: int


class DistillationPlan(NamedTuple):
    """The distillation of a stage, and the cost of its student.

    Attributes:
        rounds: the round of guidance, if there is one, and the halvings.
        examples, flops, seconds: of all rounds, including the teacher's calls.
        peak_bytes: as in training, plus the teacher, in the round that needs most.
        steps: sampling steps of the student, of one call each.
        sampling_flops, sampling_seconds: of the student for one video, as those of the stage itself.
    """

    rounds: int
    examples: int
    flops: float
    seconds: float
    peak_bytes: int
    steps: int
    sampling_flops: int
    sampling_seconds: float


class StagePlan(NamedTuple):
    """The plan of a stage on a device. Seconds and FLOPs are of one video; a step is a whole denoising step.

    Attributes:
        weight_bytes: of the network in memory.
        flops_per_forward: of the network on one video, once, in all windows; guidance runs it twice in a step.
        flops_per_step: of the step that takes most.
        peak_bytes: weights, videos and activations when sampling.
        learning, distilling: the training and the distillation of the stage, if the recipe says how.
        weights_of: the stage whose network it runs, where it has none of its own.
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
    learning: TrainingPlan | None
    distilling: DistillationPlan | None
    weights_of: str | None = None

    def to_json(self, memory: int) -> dict[str, Any]:
        """Plain values, with whether the stage fits into so many bytes."""
        value = self._asdict()
        learning, distilling = value.pop("learning"), value.pop("distilling")
        value["seconds_per_step"] = self.seconds / self.steps
        value["fits"] = self.peak_bytes <= memory
        for name, cost in (("training", learning), ("distillation", distilling)):
            value[name] = None if cost is None else {**cost._asdict(), "fits": cost.peak_bytes <= memory}
        return value


def plan_stage(
    stage: StageSpec,
    device: Device,
    spec: TrainSpec | None,
    memory: int | None = None,
    measured: Measured | None = None,
    rounds: Sequence[tuple[StageSpec, TrainSpec]] = (),
    examples: Sequence[float] | None = None,
) -> StagePlan:
    """The cost of a stage; with its training if `spec` is given, and its distillation if `rounds` are.

    `examples` are the seconds to make an example of each phase of the training, see `zoetrope.planning.examples`.
    It is sampled in tiles within `memory` bytes; for None, in those that `generate` chooses on the device. Only seconds
    and bytes are then corrected by what was `measured` on the device, if given.
    Raises ValueError if not even the smallest tiles fit into `memory`.
    """
    work, seconds = _sampled(stage, device, memory, measured)
    peak = work.peak if measured is None else round(measured.correct("sampling", "bytes", work.peak))
    return StagePlan(
        name=stage.name,
        kind=stage.kind,
        shape=str(stage.made),
        parameters=work.parameters,
        weight_bytes=work.weight_bytes,
        steps=stage.sampling.length,
        flops_per_forward=work.flops_per_forward,
        flops_per_step=work.flops_per_step,
        flops=flops_of(work.whole),
        peak_bytes=peak,
        seconds=seconds,
        learning=None if spec is None else _learning(stage, device, spec, measured, examples),
        distilling=_distilling(device, rounds, memory, measured) if rounds else None,
        weights_of=stage.weights_of,
    )


def _sampled(stage: StageSpec, device: Device, memory: int | None, measured: Measured | None) -> tuple[Sampling, float]:
    """The cost of sampling a video, and its seconds: within `memory`, or as `generate` does it on such a device."""
    place = torch_device(device.name)
    card = device.memory if memory is None and place.type == "cuda" else None
    work = sampling(stage, device.dtype, memory, place, card)
    steps, seconds = stage.sampling.length, device.seconds(work.whole)
    if measured is not None:
        seconds = steps * measured.correct("sampling", "seconds", seconds / steps)
    return work, seconds


def totals(stages: Sequence[StagePlan], memory: int) -> dict[str, Any]:
    """Sums over the stages; the peak is the largest, because stages run one at a time."""
    learning = [stage.learning for stage in stages if stage.learning is not None]
    value: dict[str, Any] = {
        "parameters": sum(stage.parameters for stage in stages if stage.weights_of is None),
        "weight_bytes": sum(stage.weight_bytes for stage in stages if stage.weights_of is None),
        "flops": sum(stage.flops for stage in stages),
        "peak_bytes": max(stage.peak_bytes for stage in stages),
        "seconds": sum(stage.seconds for stage in stages),
    }
    value["fits"] = value["peak_bytes"] <= memory
    distilling = [stage.distilling for stage in stages if stage.distilling is not None]
    for name, costs in (("training", learning), ("distillation", distilling)):
        value[name] = _sums(costs) if costs else None
    return value


def _sums(costs: Sequence[TrainingPlan] | Sequence[DistillationPlan]) -> dict[str, Any]:
    return {
        "flops": sum(each.flops for each in costs),
        "peak_bytes": max(each.peak_bytes for each in costs),
        "seconds": sum(each.seconds for each in costs),
    }


def _learning(
    stage: StageSpec, device: Device, spec: TrainSpec, measured: Measured | None, examples: Sequence[float] | None
) -> TrainingPlan:
    work = training(stage, spec, device.dtype)
    peak, batches = work.peak, [device.seconds(tally) for _, tally, _ in work.phases]
    checkpointing, other = _otherwise(stage)
    each = len(work.phases) // len(spec.phases)  # stretches of a phase
    # Only memory is asked of the other, so that the phase that needs most will do.
    short = spec.with_(phases=(spec.phases[work.largest // each],))
    elsewise = work.peak if other is None else training(other, short, device.dtype).peak
    if measured is not None:
        batches = [measured.correct("training", "seconds", seconds) for seconds in batches]
        peak, elsewise = (round(measured.correct("training", "bytes", size)) for size in (peak, elsewise))
    parts = [sec * phase.examples / phase.batch for sec, (phase, _, _) in zip(batches, work.phases, strict=True)]
    network = [sum(parts[at : at + each]) for at in range(0, len(parts), each)]
    data = [sec * phase.examples for sec, phase in zip(examples, spec.phases, strict=True)] if examples else None
    return TrainingPlan(
        examples=spec.examples,
        flops=work.flops,
        seconds=sum(network if data is None else map(max, network, data)),
        network_seconds=sum(network),
        data_seconds=None if data is None else sum(data),
        checkpointing=checkpointing,
        peak_bytes=peak,
        peak_bytes_checkpointed=peak if checkpointing else elsewise,
        peak_bytes_kept=elsewise if checkpointing else peak,
    )


def rounds_of(recipe: Recipe, stage: str) -> list[tuple[StageSpec, TrainSpec]]:
    """The student and the training of each round that distils a stage; [] if the stage cannot be distilled."""
    try:
        return [(made.cascade.stage(stage), made.train_spec(stage)) for _, made in distillation(recipe, stage)]
    except ValueError:
        return []


def _distilling(
    device: Device, rounds: Sequence[tuple[StageSpec, TrainSpec]], memory: int | None, measured: Measured | None
) -> DistillationPlan:
    examples, flops, seconds, peak = 0, 0.0, 0.0, 0
    known: dict[str, Training] = {}
    for student, spec in rounds:
        one = spec.with_(phases=tuple(phase.with_(examples=1) for phase in spec.phases))
        alike = json.dumps([spec.objective.kind(), [phase.to_json() for phase in one.phases]])  # all halvings may be
        if alike not in known:
            known[alike] = training(student, one, device.dtype)
        for (phase, _), (_, tally, held) in zip(stretches(spec), known[alike].phases, strict=True):
            batch = device.seconds(tally)
            if measured is not None:
                batch = measured.correct("training", "seconds", batch)
                held = round(measured.correct("training", "bytes", held))
            examples += phase.examples
            flops += flops_of(tally) * phase.examples / phase.batch
            seconds += batch * phase.examples / phase.batch
            peak = max(peak, held)
    student = rounds[-1][0]
    work, sampled = _sampled(student, device, memory, measured)
    return DistillationPlan(
        rounds=len(rounds),
        examples=examples,
        flops=flops,
        seconds=seconds,
        peak_bytes=peak,
        steps=student.sampling.length,
        sampling_flops=flops_of(work.whole),
        sampling_seconds=sampled,
    )


def _otherwise(stage: StageSpec) -> tuple[bool, StageSpec | None]:
    """Whether the stage's network recomputes activations, and the stage with one that does the opposite, if it can."""
    if "checkpointing" not in type(stage.network).model_fields:
        return False, None
    checkpointing = bool(getattr(stage.network, "checkpointing"))  # noqa: B009 - a field of some networks only
    network = stage.network.with_(checkpointing=not checkpointing)
    return checkpointing, stage.with_(network=network)
