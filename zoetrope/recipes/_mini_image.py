"""The networks of mini_image, and what becomes of them in the small video models that begin as it."""

from collections.abc import Sequence
from typing import Any

from zoetrope.networks.video_unet import Level, VideoUNetConfig

BASE = VideoUNetConfig(
    patch=2,
    embedding=192,
    positions=True,
    levels=(Level(width=64), Level(width=160, blocks=3, spatial_attention=True, text_attention=True)),
)
SSR = VideoUNetConfig(
    low_res=True,
    anchored=True,
    patch=2,
    embedding=192,
    levels=(Level(width=48), Level(width=64), Level(width=128, spatial_attention=True, text_attention=True)),
)


def inflated(image: VideoUNetConfig, changes: Sequence[dict[str, Any]], **fields: Any) -> VideoUNetConfig:
    """An image network with these changes of its levels, finest first, such as {"temporal": ("attention",)}."""
    pairs = zip(image.levels, changes, strict=True)
    return image.with_(levels=tuple(level.with_(**change) for level, change in pairs), **fields)
