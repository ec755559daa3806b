"""What a network's output was wrong by on a batch, and the gradient of it."""

from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.loss import output_weight, squared_error
from zoetrope.networks import Network
from zoetrope.training.batch import Batch
from zoetrope.training.objectives import Ask, Lesson
from zoetrope.training.parallel import Call, Student
from zoetrope.training.spec import TrainSpec
from zoetrope.training.state import TypicalError


class Learner:
    """The objective of a stage's training, on the device and in the type that it computes in."""

    def __init__(
        self,
        stage: StageSpec,
        spec: TrainSpec,
        student: Student,
        teacher: Network | None,
        device: torch.device,
        dtype: torch.dtype,
    ):
        """`teacher` is what the objective learns from, if it does from a network."""
        self.stage, self.spec, self.student, self.teacher = stage, spec, student, teacher
        self.device, self.dtype = device, dtype

    def gradients(self, batch: Batch, world: int, typical: TypicalError) -> Tensor:
        """Add the gradient of the batch's mean error to the parameters', that of all processes together.

        Returns the errors (size,) of the batch's examples; those that other processes have are 0.
        """
        errors = torch.zeros(batch.size)
        # Of all processes equally many passes: they add up together. One that has run out of examples goes through the
        # motions with zeros.
        passes = min(self.spec.accumulate, -(-batch.size // world))
        for number, part in enumerate(torch.arange(len(batch.x)).tensor_split(passes), start=1):
            with self.student.alone() if number < passes else nullcontext():
                if not len(part):
                    (0 * self._errors(_blank(batch), torch.arange(1)).sum()).backward()
                    continue
                own = self._errors(batch, part)
                errors[batch.part[part]] = own.detach().cpu()
                if self.spec.balance:
                    own = own / typical.at(batch.t[part]).to(own)
                (own.sum() / batch.size).backward()
        return errors

    def ask(self, z: Tensor, logsnr: Tensor, given: Conditioning) -> Tensor:
        """What the teacher says."""
        assert self.teacher is not None
        with torch.no_grad():
            return _called(self.teacher, z, logsnr, given, self.dtype)

    def _errors(self, batch: Batch, part: Tensor) -> Tensor:
        """The weighted error (b,) of some examples."""
        own = replace(
            batch,
            x=batch.x[part],
            eps=batch.eps[part],
            conditioning=batch.conditioning.select(part),
            part=batch.part[part],
        )
        ask = None if self.teacher is None else self.ask
        return loss_of(self.student.call, own, self.stage, self.spec, self.device, self.dtype, ask)


def loss_of(
    network: Call,
    batch: Batch,
    stage: StageSpec,
    spec: TrainSpec,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    ask: Ask | None = None,
) -> Tensor:
    """The loss (b,) of a network on each example of a batch, as a training of the stage has it; with a graph.

    `network` lies on `device` and computes in `dtype`; `ask` is the teacher of an objective that has one. What a
    training tells as its loss is the mean; `balance` is no part of it.
    """
    given = batch.conditioning.to(device, torch.float32)
    x, eps, u = (value.to(device) for value in (batch.x, batch.eps, batch.t))
    question = spec.objective(stage, Lesson(x, eps, u, given, spec.times), ask)
    output = _called(network, question.z, question.level.logsnr.float(), given, dtype)
    weight = output_weight(spec.weight, stage.prediction, question.level).float()
    return squared_error(output, question.answer, weight)


def _called(network: Call, z: Tensor, logsnr: Tensor, given: Conditioning, dtype: torch.dtype) -> Tensor:
    with torch.autocast(z.device.type, dtype, enabled=dtype != torch.float32):
        return network(z, logsnr, given)


def _blank(batch: Batch) -> Batch:
    """One example of zeros, of the shapes that the batch's have."""
    zeros = batch.x.new_zeros(1, *batch.x.shape[1:])
    given = batch.conditioning.blank(1)
    return replace(batch, x=zeros, eps=zeros, conditioning=given, part=torch.zeros(1, dtype=torch.int64))
