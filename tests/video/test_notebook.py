"""A `Video` as a notebook shows it."""

import base64
import io
import re

import av
import numpy as np
import pytest
from conftest import number_of, numbered, picture_clip
from PIL import Image

from zoetrope.video import Video, notebook


def embedded(html: str, kind: str) -> bytes:
    """The file in a piece of HTML."""
    (found,) = re.findall(rf'src="data:{kind};base64,([A-Za-z0-9+/=]+)"', html)
    return base64.b64decode(found, validate=True)


def test_a_video_plays() -> None:
    frames = picture_clip(6, 33, 47)
    html = Video(frames, 8)._repr_html_()
    assert html.startswith("<video") and "Video(6 frames of 33x47 at 8 fps)" in html and len(html) < 100_000
    with av.open(io.BytesIO(embedded(html, "video/webm"))) as container:
        assert container.streams.video[0].average_rate == 8
        seen = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert seen.shape == frames.shape and np.abs(seen.astype(int) - frames).mean() < 4


def test_a_picture() -> None:
    frame = picture_clip(1, 9, 7)
    html = Video(frame, 1)._repr_html_()
    assert html.startswith("<img") and np.array_equal(
        np.array(Image.open(io.BytesIO(embedded(html, "image/png")))), frame[0]
    )


@pytest.mark.parametrize("limit", ["MOST", "LARGEST"])
def test_of_a_large_video_some_pictures(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(notebook, limit, 100)
    html = Video(numbered(26, 16, 16), 8)._repr_html_()
    assert html.startswith("<img") and "too large to play here" in html
    sheet = np.array(Image.open(io.BytesIO(embedded(html, "image/png"))))
    first = sheet[4:20, 4:]
    shown = np.stack([first[:, 17 * place : 17 * place + 16] for place in range(6)])
    assert number_of(shown) == [0, 5, 10, 15, 20, 25]


def test_its_size_is_bounded() -> None:
    """Noise does not compress, whatever its size."""
    noise = np.random.default_rng(0).integers(0, 256, (1, 2100, 3000, 3), np.uint8)
    html = Video(noise, 1)._repr_html_()
    assert Image.open(io.BytesIO(embedded(html, "image/png"))).size == (1000, 700) and len(html) < 3_000_000
    long = np.broadcast_to(noise, (4000, *noise.shape[1:]))  # 75 GB, were it in memory
    html = Video(long, 25)._repr_html_()
    assert "4000 frames of 2100x3000" in html and len(html) < 1_000_000
