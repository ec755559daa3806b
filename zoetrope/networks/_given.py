"""What networks are given, checked and made uniform."""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from zoetrope.conditioning import Conditioning
from zoetrope.shapes import expect_shape

Embed = Callable[[str, Tensor, Tensor, nn.Module], Tensor]


def embedded(name: str, values: Tensor, z: Tensor, embedding: nn.Module) -> Tensor:
    """The embedding (B, F or 1, E) of values (B,) or (B, F), for z (B, C, F, H, W).

    Raises ValueError for any other shape.
    """
    _expect_each(name, values, z, z.shape[2])
    return embedded_beyond(name, values, z, embedding)


def embedded_beyond(name: str, values: Tensor, z: Tensor, embedding: nn.Module) -> Tensor:
    """`embedded`, where z may be the first part of a longer video, whose number of frames is not known."""
    _expect_each(name, values, z, None)
    made: Tensor = embedding(values)
    return made if values.ndim == 2 else made[:, None]


def number(conditioning: Conditioning, name: str, what: str) -> Tensor:
    """A required number of the conditioning. Raises ValueError if it is missing."""
    if name not in conditioning.numbers:
        raise ValueError(f"numbers: expected {name!r}, {what} (B,), got none")
    return conditioning.numbers[name]


def with_numbers(
    e: Tensor,
    z: Tensor,
    conditioning: Conditioning,
    low_res_logsnr: nn.Module | None,
    guidance: nn.Module | None,
    embed: Embed = embedded,
) -> Tensor:
    """e (B, F or 1, E) with the embeddings of those numbers that the network has one for. Raises ValueError."""
    wanted = (
        ("low_res_logsnr", "the noise level of low_res", low_res_logsnr),
        ("guidance", "the weight of guidance", guidance),
    )
    for name, what, embedding in wanted:
        if embedding is not None:
            e = e + embed(f"numbers[{name!r}]", number(conditioning, name, what), z, embedding)
    return e


def videos_given(z: Tensor, maps: Mapping[str, Tensor], wanted: Mapping[str, int]) -> list[Tensor]:
    """The videos that a network concatenates: z (B, C, F, H, W), and the maps `wanted`, with so many channels each.

    Raises ValueError for a missing or misshapen map.
    """
    videos = [z]
    for name, channels in wanted.items():
        video = maps.get(name)
        if video is None:
            what = ", the previous stage's video" if name == "low_res" else ""
            raise ValueError(f"maps: expected {name!r}{what}, got none")
        expect_shape(f"maps[{name!r}]", video, len(z), channels, *z.shape[2:])
        videos.append(video.to(z.dtype))
    return videos


def frames_given(name: str, values: Tensor, z: Tensor) -> Tensor:
    """Values (B,) or (B, F) for z (B, C, F, H, W) as (B, F or 1). Raises ValueError for any other shape."""
    _expect_each(name, values, z, z.shape[2])
    return values if values.ndim == 2 else values[:, None]


def per_frame(values: Tensor, frames: int) -> Tensor:
    """Values (B,) or (B, F) as (B, F)."""
    return values[:, None].expand(-1, frames) if values.ndim == 1 else values


def alike(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both as (B,), or both as (B, F) if one is."""
    if a.ndim == b.ndim:
        return a, b
    frames = max(a.shape[-1] if a.ndim == 2 else 1, b.shape[-1] if b.ndim == 2 else 1)
    return per_frame(a, frames), per_frame(b, frames)


def lone_frames(images: Tensor | None, z: Tensor) -> Tensor | None:
    """Which frames are independent images, (B, F); None: there are none, or no others beside them.

    Raises ValueError for any other shape than (B,) or (B, F).
    """
    if images is None or z.shape[2] == 1:
        return None
    _expect_each("images", images, z, z.shape[2])
    return per_frame(images, z.shape[2])


def lone_or_last(images: Tensor | None, z: Tensor) -> Tensor | None:
    """Which frames are independent images, (B, F or 1): also a frame without any other that is not. None: none.

    z may be the first part of a longer video. Raises ValueError for any other shape than (B,) or (B, F).
    """
    if images is None:
        return None
    _expect_each("images", images, z, None)
    if images.ndim == 1:
        return images[:, None]
    return images | ((~images).sum(1, keepdim=True) == 1)


def _expect_each(name: str, values: Tensor, z: Tensor, frames: int | None) -> None:
    """Raise ValueError unless values are (B,) or (B, frames); None: of any number of frames."""
    if values.ndim in (1, 2) and len(values) == len(z) and (values.ndim == 1 or frames in (None, values.shape[1])):
        return
    count = "" if frames is None else f"{frames} "
    raise ValueError(
        f"{name}: expected one for each of {len(z)} videos, or of their {count}frames, got {tuple(values.shape)}"
    )
