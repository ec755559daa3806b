"""Whether weights from elsewhere mean the same in another model."""

from collections.abc import Collection

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.config.differences import ABSENT, differences
from zoetrope.config.errors import shown
from zoetrope.inputs.text import TEXT
from zoetrope.networks import NetworkConfig
from zoetrope.text import TextEncoder

SILENT = {"levels", "head"}
"""Fields of networks whose other values may leave all tensors as they are and yet mean another network."""

_TIME = {"temporal", "join", "looks", "every", "positions", "fps", "relative"}
_FREE = _TIME | {
    "guided",
    "checkpointing",
    "rate",
    "picture_width",
    "region",
    "first_frame",
    "numbers",
    "labels",
    "actions",
    "aligned",
}


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


def other_size(theirs: NetworkConfig, stage: StageSpec, fields: Collection[str] | None = None) -> str | None:
    """The first size in which a stage's network is not that of the weights, in words; None if there is none.

    `fields` are those that are compared; None: all that may change the tensors of an image network.
    """
    ours, where = stage.network, f"{stage.name}.network"
    if ours.kind() != theirs.kind() and (ours.inner is not ours or theirs.inner is not theirs):
        where = where if ours.inner is ours else f"{where}.network"
        ours, theirs = ours.inner, theirs.inner
    if ours.kind() != theirs.kind():
        return f"network: expected {theirs.kind()!r}, as the weights are of, got {ours.kind()!r}"
    found = sorted(differences(ours.to_json(), theirs.to_json()), key=lambda each: each.path.split("."))
    for path, own, other in found:
        if own is ABSENT or other is ABSENT:
            continue
        if isinstance(own, list) and isinstance(other, list):
            own, other = len(own), len(other)
        field = [part for part in path.split(".") if not part.isdecimal()][-1]
        if field not in _FREE if fields is None else field in fields:
            return f"{where}.{path}: expected {shown(other)}, as the weights have, got {shown(own)}"
    return None


def _same(one: TextEncoder, other: TextEncoder) -> bool:
    """Whether two encoders give equal features. Where their files are is looked up only if it matters."""
    alike = one.kind() == other.kind() and (one.width, one.limit) == (other.width, other.limit)
    return one == other or (alike and one.identity == other.identity)
