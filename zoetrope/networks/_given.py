"""What networks are given, checked and made uniform."""

from torch import Tensor, nn

from zoetrope.conditioning import Conditioning


def embedded(name: str, values: Tensor, z: Tensor, embedding: nn.Module) -> Tensor:
    """The embedding (B, F or 1, E) of values (B,) or (B, F), for z (B, C, F, H, W).

    Raises ValueError for any other shape.
    """
    wanted = ((len(z),), (len(z), z.shape[2]))
    if values.shape not in wanted:
        raise ValueError(
            f"{name}: expected one for each of {len(z)} videos, or of their {z.shape[2]} frames, "
            f"got {tuple(values.shape)}"
        )
    made: Tensor = embedding(values)
    return made if values.ndim == 2 else made[:, None]


def number(conditioning: Conditioning, name: str, what: str) -> Tensor:
    """A required number of the conditioning. Raises ValueError if it is missing."""
    if name not in conditioning.numbers:
        raise ValueError(f"numbers: expected {name!r}, {what} (B,), got none")
    return conditioning.numbers[name]


def per_frame(values: Tensor, frames: int) -> Tensor:
    """Values (B,) or (B, F) as (B, F)."""
    return values[:, None].expand(-1, frames) if values.ndim == 1 else values


def lone_frames(images: Tensor | None, z: Tensor) -> Tensor | None:
    """Which frames are independent images, (B, F); None: there are none, or no others beside them.

    Raises ValueError for any other shape than (B,) or (B, F).
    """
    if images is None or z.shape[2] == 1:
        return None
    if images.shape not in ((len(z),), (len(z), z.shape[2])):
        got = tuple(images.shape)
        raise ValueError(f"images: expected one for each of {len(z)} videos, or of their frames, got {got}")
    return per_frame(images, z.shape[2])
