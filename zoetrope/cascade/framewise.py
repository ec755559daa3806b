"""Videos from a cascade of single pictures: another routine for its first stage, with the same weights."""

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.networks import NetworkConfig
from zoetrope.routines import Routine


def with_routine(spec: CascadeSpec, routine: Routine) -> CascadeSpec:
    """The cascade whose first stage of videos has this routine, by the same weights.

    If the routine needs it, attention in that stage looks at other frames. Stages after it that enlarge each frame on
    its own then give all frames the same noise, and so the same details.

    Raises ValueError for a network that such a routine does not suit: one that mixes frames already, or cannot look.
    """
    if not spec.videos:
        raise ValueError(f"routine: {spec.name} makes no videos")
    first = spec.videos[0]

    def told(stage: StageSpec) -> StageSpec:
        if stage.name == first.name:
            network = stage.network if routine.looks is None else _looking(stage, routine)
            return stage.with_(network=network, sampling=stage.sampling.with_(routine=routine))
        alone = not stage.makes_vectors and stage.network.framewise() == stage.network
        if routine.looks is None or not alone:
            return stage
        return stage.with_(sampling=stage.sampling.with_(shared_noise=True))

    return spec.with_(stages=tuple(told(stage) for stage in spec.stages))


def _looking(stage: StageSpec, routine: Routine) -> NetworkConfig:
    assert routine.looks is not None
    try:
        own = stage.network.looking("own").inner
        if own.framewise() not in (own, None):  # None: a wrapped network of pictures
            raise ValueError("network: expected one of single pictures, got one that mixes frames")
        return stage.network.looking(routine.looks)
    except ValueError as error:
        raise ValueError(f"stage {stage.name!r}: routine {routine.kind()!r}: {error}") from None
