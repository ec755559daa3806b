"""Whether weights from elsewhere mean the same in another model."""

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.inputs.text import TEXT
from zoetrope.networks import NetworkConfig
from zoetrope.text import TextEncoder


def expect_alike(name: str, theirs: CascadeSpec, other: StageSpec, ours: CascadeSpec, stage: StageSpec) -> None:
    """Raise ValueError if weights from elsewhere mean something else here: another text encoder, or other outputs."""
    reads = TEXT in other.network.reads and TEXT in stage.network.reads
    if reads and theirs.text is not None and ours.text is not None and not _same(theirs.text, ours.text):
        own, got = (f"{one.kind()} of width {one.width}" for one in (ours.text, theirs.text))
        if own == got:
            own, got = ours.text.identity, theirs.text.identity
        raise ValueError(
            f"{name}: these weights read text of {got}, expected {own}, the recipe's; "
            "--set cascade.text to theirs, or take weights that were trained with it"
        )
    if other.prediction != stage.prediction:
        raise ValueError(
            f"{name}: these weights predict {other.prediction!r}, expected {stage.prediction!r}, as stage "
            f"{stage.name!r} does; --set {stage.name}.prediction={other.prediction}"
        )


def other_maps(theirs: NetworkConfig, ours: NetworkConfig) -> str | None:
    """How the maps that a network is given differ from those of the weights, in words; None: they do not.

    Tensors of equal shape may be of other maps, or of the same in another order.
    """
    if list(theirs.concatenated.items()) == list(ours.concatenated.items()):
        return None
    got, told = (
        " and ".join(f"{name} ({size})" for name, size in each.concatenated.items()) for each in (ours, theirs)
    )
    return (
        f"maps, with their channels: expected {told or 'none'}, in this order, as the weights have, got {got or 'none'}"
    )


def _same(one: TextEncoder, other: TextEncoder) -> bool:
    """Whether two encoders give equal features. Where their files are is looked up only if it matters."""
    alike = one.kind() == other.kind() and (one.width, one.limit) == (other.width, other.limit)
    return one == other or (alike and one.identity == other.identity)
