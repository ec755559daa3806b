"""A network that begins as another one, such as a video network as an image network, and how near it begins."""

import logging
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

import torch

from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.inputs import Extent
from zoetrope.models.weights import read_weights
from zoetrope.networks import Network, NetworkConfig
from zoetrope.wording import counted

log = logging.getLogger(__name__)
NEAR = 1e-5  # of the outputs' size: kernels of different shapes round differently
NAMED = 5  # of the tensors that begin fresh


class WeightsOf(NamedTuple):
    """A file of weights, and the network that they are of."""

    config: NetworkConfig
    file: Path

    def network(self) -> Network:
        """That network, with the weights, on the CPU."""
        made = self.config.bare()
        read_weights(made, self.file)
        return made


class BeginsAs(NamedTuple):
    """How a network begins beside that which its weights are of: one of single frames, or one that it extends.

    Attributes:
        every: the frames 0, n, 2n and so on are compared.
        distance: the largest difference of their outputs, relative to the largest output; 0: bitwise equal.
        extended: whether the other network is the one that it extends, see `NetworkConfig.inner`.
    """

    every: int
    distance: float
    extended: bool = False

    @property
    def near(self) -> bool:
        """Whether the outputs are equal, up to rounding."""
        return self.distance <= NEAR

    def told(self) -> str:
        """In words."""
        n = self.every
        begins = "its output begins" if n == 1 else f"frames 0, {n}, {2 * n} and so on of its output begin"
        other = "that of the network that it extends" if self.extended else "the image network's"
        if not self.near:
            return f"{begins} otherwise than {other}, whose weights it has: by {self.distance:.1e}"
        exactly = "exactly as" if self.distance == 0 else "up to rounding as"
        return f"{begins} {exactly} {other}" + ("" if self.extended else ", frame by frame")


def beginning_of(
    network: Network, config: NetworkConfig, stage: StageSpec, fresh: Iterable[str], source: WeightsOf | None = None
) -> BeginsAs | None:
    """How a network of this stage begins, measured on noise; None for one that begins as no other.

    It is compared with the network that it extends, if all tensors of that are given, and else with one of single
    frames: the one that its weights are of, `source`, if that is known. `fresh` are the names of its tensors that are
    of no other network: the network that it extends, and one of single frames whose source is not known, are made of
    the others. Weights of a video network say nothing of single frames.
    """
    new = set(fresh)
    extended = config.inner is not config and new.isdisjoint(config.inner.bare().state_dict())
    if (other := config.inner if extended else config.framewise()) is None:
        return None
    if source is None or extended:
        still = _without(network, other, new)
    else:
        still = source.network() if source.config.framewise() == source.config else None
    if still is None:
        return None
    reach = config.reach()
    frames = 2 * reach.every if reach.every > 1 else 3
    every = 1 if extended else reach.every
    draw = torch.Generator().manual_seed(0)
    device = next(network.parameters()).device
    still = still.to(device)
    extent = Extent(2, (frames, 2 * reach.grid, 2 * reach.grid), 4, config.text_width or 1, channels=config.channels)
    given = Conditioning()
    for each in stage.all_inputs:
        given = given | each.blank(extent)
    given = given.each(lambda x: torch.rand(x.shape, generator=draw) if x.is_floating_point() else x)
    given = given.each(lambda x: x.to(device))
    z = torch.randn(2, config.channels, *extent.grid, generator=draw).to(device)
    logsnr = torch.tensor([-2.0, 3.0], device=device)
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        ours, theirs = (one(z, logsnr, given)[:, :, ::every] for one in (network, still))
    return BeginsAs(every, float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-30)), extended)


def _without(network: Network, other: NetworkConfig, new: Collection[str]) -> Network | None:
    """The network of another config, with a network's weights, of which those that are `new` have no effect.

    None where all that mixes frames is given: the weights are a video network's.
    """
    own, still = network.state_dict(), other.bare()
    times = own.keys() - still.state_dict().keys()
    if times and times.isdisjoint(new):
        return None
    weights = {name: torch.zeros_like(own[name]) if name in new else own[name] for name in still.state_dict()}
    still.load_state_dict(weights, assign=True)
    return still


def log_beginning(
    network: Network, stage: StageSpec, fresh: list[str], where: str, source: WeightsOf | None = None
) -> None:
    """Log how many tensors are from elsewhere and how many begin fresh, and whether the network begins as theirs."""
    taken = len(network.state_dict()) - len(fresh)
    more = f" and {len(fresh) - NAMED} others" if len(fresh) > NAMED else ""
    named = ", ".join(fresh[:NAMED]) + more
    log.info("%s: %s taken from it, %d begin fresh: %s", where, counted(taken, "tensor"), len(fresh), named)
    begun = beginning_of(network, stage.network, stage, fresh, source)
    if begun is not None:
        log.log(logging.INFO if begun.near else logging.WARNING, "%s: %s", stage.name, begun.told())
