"""Pictures as they are meant: upright, of square pixels, whole, in sRGB; and what of a file is told."""

import gc
import struct
import zlib
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import Maker, number_of, numbered, picture_clip
from PIL import Image, ImageOps

from zoetrope.video import expected_frames, probe, read, stream
from zoetrope.video.colour import KNEE, WHITE, gamut, rolled_off
from zoetrope.video.reading import read_track

ORIENTATION = 0x0112
Encode = Callable[[str, np.ndarray], Path]


def corners(height: int = 40, width: int = 64) -> np.ndarray:
    """A picture (H, W, 3) that is different in each of its eight orientations."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, np.full_like(x, 90)], -1).astype(np.uint8)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
@pytest.mark.parametrize("turned", range(1, 9))
def test_exif_orientation(tmp_path: Path, suffix: str, turned: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION], exif[0x010F] = turned, "Some camera"
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(corners()).save(path, exif=exif, quality=95)
    with Image.open(path) as image:
        expected = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    got = read(path).frames[0]
    assert got.shape == expected.shape == (probe(path).height, probe(path).width, 3)
    assert np.abs(got.astype(int) - expected).max() <= 8
    assert probe(path).notes == ()
    assert read(path, size=(20, 20)).frames.shape == (1, 20, 20, 3)


@pytest.mark.parametrize("turned", [0, 90])
@pytest.mark.parametrize(("aspect", "width"), [(Fraction(64, 45), 102), (Fraction(8, 9), 64), (Fraction(1, 9), 72)])
def test_pixels_become_square(tmp_path: Path, aspect: Fraction, width: int, turned: int) -> None:
    y, x = np.mgrid[:60, :72]
    disc = (((x + 0.5 - 36) * float(aspect)) ** 2 + (y + 0.5 - 30) ** 2 < 20**2)[..., None] * np.full(3, 255, np.uint8)
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        out = container.add_stream("libx264", rate=6, options={"crf": "1"})
        out.width, out.height, out.pix_fmt = 72, 60, "yuv420p"
        out.codec_context.sample_aspect_ratio = aspect
        if turned:
            out.set_display_rotation(turned)
        for _ in range(6):
            container.mux(out.encode(av.VideoFrame.from_ndarray(disc, format="rgb24")))
        container.mux(out.encode(None))
    info = probe(tmp_path / "a.mp4")
    upright = (width, 60) if turned else (60, width)
    assert (info.height, info.width) == upright
    bright = read(tmp_path / "a.mp4", frames=1).frames[0, ..., 1] > 127
    assert bright.shape == upright
    if aspect > Fraction(1, 4):
        assert abs(int(bright.any(0).sum()) - int(bright.any(1).sum())) <= 2
        assert info.notes == (f"pixels {aspect.numerator}:{aspect.denominator}, made square",)
    else:  # nobody has pixels of nine times their width
        assert info.notes == ()


def interlaced(path: Path, at: Callable[[int], np.ndarray], count: int = 12) -> Path:
    """A file of 25 interlaced pictures a second; odd lines show times 2 k, even lines, of the second field, 2 k + 1."""
    with av.open(str(path), "w") as container:
        options = {"flags": "+ildct+ilme", "qmin": "1", "qmax": "2"}
        out = container.add_stream("mpeg2video", rate=25, options=options)
        out.height, out.width, out.pix_fmt, out.gop_size = *at(0).shape[:2], "yuv420p", 4
        for k in range(count):
            picture = at(2 * k)
            picture[::2] = at(2 * k + 1)[::2]
            container.mux(out.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(out.encode(None))
    return path


@pytest.mark.parametrize("suffix", ["mkv", "mpg"])
def test_interlaced_pictures_become_whole(tmp_path: Path, suffix: str) -> None:
    def at(time: int) -> np.ndarray:
        x = np.mgrid[:96, :128][1] - 6 * time
        return np.repeat((((x % 64) < 32) * 200 + 20)[..., None], 3, 2).astype(np.uint8)

    path = interlaced(tmp_path / f"a.{suffix}", at)
    info = probe(path)
    assert info.interlaced
    assert info.notes == ("interlaced, made progressive",)
    whole = read(path).frames
    assert len(whole) == info.frames == expected_frames(info) == 12
    for k in range(12):  # with both fields the difference is 19
        assert np.abs(whole[k].astype(int) - at(2 * k)).mean() < 4, k
    for first in range(12):
        part = read(path, start=first / 25, frames=2).frames
        assert np.array_equal(part, whole[first : first + 2])


def test_what_stands_still_keeps_its_lines(tmp_path: Path) -> None:
    still = np.random.default_rng(0).integers(0, 256, (96, 8, 1), np.uint8).repeat(16, 1).repeat(3, 2)
    whole = read(interlaced(tmp_path / "a.mkv", lambda time: still.copy())).frames
    assert np.abs(whole[1:-1].astype(int) - still).mean() < 3


def test_progressive_pictures_stay_what_they_are(make_video: Maker) -> None:
    info = probe(make_video("a.mpg", picture_clip(4), codec="mpeg2video", fps=25))
    assert not info.interlaced
    assert info.notes == ()


def tagged(path: Path, codes: np.ndarray, transfer: int, full: bool = False) -> Path:
    """A lossless HDR file of codes (H, W, 3) in [0, 1], R'G'B' of BT.2020, as 10 bits of Y'CbCr."""
    r, g, b = np.moveaxis(codes, -1, 0)
    y = 0.2627 * r + 0.6780 * g + 0.0593 * b
    planes = np.stack([y, (b - y) / 1.8814, (r - y) / 1.4746])
    scale = np.array([1023, 1023, 1023] if full else [876, 896, 896]).reshape(3, 1, 1)
    shift = np.array([0, 512, 512] if full else [64, 512, 512]).reshape(3, 1, 1)
    values = np.clip(planes * scale + shift + 0.5, 0, 1023).astype(np.uint16)
    with av.open(str(path), "w") as container:
        out = container.add_stream("ffv1", rate=6)
        out.height, out.width, out.pix_fmt = *codes.shape[:2], "yuv444p10le"
        context = out.codec_context
        context.color_primaries, context.color_trc, context.colorspace = 9, transfer, 9
        context.color_range = 2 if full else 1
        frame = av.VideoFrame(codes.shape[1], codes.shape[0], "yuv444p10le")
        for plane, rows in zip(frame.planes, values, strict=True):
            padded = np.zeros((plane.height, plane.line_size // 2), np.uint16)
            padded[:, : rows.shape[1]] = rows
            plane.update(padded.tobytes())
        frame.color_primaries, frame.color_trc, frame.colorspace = 9, transfer, 9
        frame.color_range = 2 if full else 1
        frame.pts = 0
        container.mux(out.encode(frame))
        container.mux(out.encode(None))
    return path


def pq(nits: np.ndarray) -> np.ndarray:
    """The inverse EOTF of SMPTE ST 2084."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    power = (nits / 10_000) ** m1
    return ((c1 + c2 * power) / (1 + c3 * power)) ** m2


def hlg(nits: np.ndarray) -> np.ndarray:
    """The inverse of what a display of 1000 cd/m2 makes of HLG (ITU-R BT.2100)."""
    luma = (nits / 1000) @ np.array([0.2627, 0.6780, 0.0593])
    scene = (nits / 1000) * np.where(luma > 0, luma, 1)[..., None] ** (1 / 1.2 - 1)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)


def linear(levels: np.ndarray) -> np.ndarray:
    """The light of sRGB levels (0 to 255), in [0, 1]."""
    codes = levels / 255
    return np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)


SDR = np.array([(0, 0, 0), (64, 64, 64), (128, 128, 128), (230, 230, 230), (200, 30, 90), (20, 180, 70), (40, 60, 220)])


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("transfer", "encode", "name"), [(16, pq, "PQ"), (18, hlg, "HLG")])
def test_hdr_shows_what_sdr_would(
    tmp_path: Path, transfer: int, encode: Callable[[np.ndarray], np.ndarray], name: str, full: bool
) -> None:
    wide = linear(SDR) @ np.linalg.inv(gamut(9).astype(float)).T  # the same light in the primaries of BT.2020
    blocks = encode(wide * WHITE).repeat(16, 0)[None].repeat(32, 0)
    path = tagged(tmp_path / "a.mkv", blocks, transfer, full)
    assert probe(path).notes == (f"HDR ({name}), converted to SDR",)
    got = read(path).frames[0][16, 8::16].astype(int)
    assert np.abs(got - SDR).max() <= 3
    small = read(path, size=(16, 56)).frames[0][8, 4::8].astype(int)
    assert np.abs(small - SDR).max() <= 4


def test_what_is_brighter_than_white_rolls_off(tmp_path: Path) -> None:
    nits = np.array([100, 203, 400, 1000, 4000])
    path = tagged(tmp_path / "a.mkv", pq(np.repeat(nits[:, None], 3, 1)).repeat(16, 0)[None].repeat(16, 0), 16)
    levels = read(path).frames[0][8, 8::16, 1].astype(int)
    assert (np.diff(levels) >= 0).all()
    assert levels[1] >= 240
    assert levels[1] < levels[2] < levels[3] <= 255
    light = np.linspace(0, 20, 2001)
    rolled = rolled_off(light)
    assert np.array_equal(rolled[light <= KNEE], light[light <= KNEE])
    assert (np.diff(rolled) > 0).all()
    assert rolled.max() < 1
    slope = (rolled_off(np.array([KNEE + 1e-6])) - KNEE) / 1e-6
    assert slope[0] == pytest.approx(1, abs=1e-3)


def test_the_matrix_of_primaries() -> None:
    published = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]  # ITU-R BT.2087
    assert np.abs(gamut(9) - published).max() < 2e-4
    assert np.abs(gamut(9).sum(1) - 1).max() < 1e-5
    assert np.array_equal(gamut(1), np.eye(3)) or np.abs(gamut(1) - np.eye(3)).max() < 1e-6


@pytest.mark.parametrize(
    ("matrix", "full", "pix_fmt"),
    [(1, False, "yuv420p"), (6, False, "yuv420p"), (1, True, "yuv420p"), (6, True, "yuv444p"), (9, False, "yuv422p")],
)
@pytest.mark.parametrize("size", [None, (24, 32), (96, 128)])
def test_range_and_matrix_of_ordinary_video(
    tmp_path: Path, matrix: int, full: bool, pix_fmt: str, size: tuple[int, int] | None
) -> None:
    kr, kb = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}[matrix]
    for colour in ((255, 255, 255), (128, 128, 128), (0, 0, 0), (220, 40, 30), (30, 200, 60), (50, 70, 230)):
        r, g, b = (level / 255 for level in colour)
        y = kr * r + (1 - kr - kb) * g + kb * b
        told = (y, (b - y) / (2 - 2 * kb), (r - y) / (2 - 2 * kr))
        scale = ((255, 0), (255, 128), (255, 128)) if full else ((219, 16), (224, 128), (224, 128))
        values = [round(min(max(part * by + plus, 0), 255)) for part, (by, plus) in zip(told, scale, strict=True)]
        frame = av.VideoFrame(64, 48, pix_fmt)
        for plane, value in zip(frame.planes, values, strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        with av.open(str(tmp_path / "a.mkv"), "w") as container:
            out = container.add_stream("ffv1", rate=6)
            out.width, out.height, out.pix_fmt = 64, 48, pix_fmt
            out.codec_context.colorspace = frame.colorspace = matrix
            out.codec_context.color_range = frame.color_range = 2 if full else 1
            container.mux(out.encode(frame))
            container.mux(out.encode(None))
        assert np.abs(read(tmp_path / "a.mkv", size=size).frames.astype(int) - colour).max() <= 2


def png_of_16_bits(path: Path, kind: int, samples: np.ndarray) -> Path:
    """A PNG of the colour type `kind` of samples (H, W, n) uint16."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(map(chunk, (b"IHDR", b"IDAT", b"IEND"), (header, rows, b""))))
    return path


EVERY_SAMPLE = np.arange(0, 2**16, 5).astype(np.uint16)[: 64 * 200].reshape(64, 200, 1)


@pytest.mark.parametrize(("kind", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_a_picture_of_16_bits_is_rounded_to_the_nearest_level(tmp_path: Path, kind: int, channels: int) -> None:
    """Grey and colours, with alpha and without."""
    samples = EVERY_SAMPLE.repeat(channels, 2)
    if kind & 4:
        samples[..., -1] = 65535
    got = read(png_of_16_bits(tmp_path / "a.png", kind, samples)).frames[0]
    assert np.array_equal(got, np.round(EVERY_SAMPLE / 257).astype(np.uint8).repeat(3, 2))


def test_alpha_of_16_bits_is_rounded_to_the_nearest_level(tmp_path: Path) -> None:
    samples = np.concatenate([np.zeros_like(EVERY_SAMPLE), EVERY_SAMPLE], 2)
    got = read(png_of_16_bits(tmp_path / "a.png", 4, samples)).frames[0]
    assert np.array_equal(got[..., :1], 255 - np.round(EVERY_SAMPLE / 257))


def stored(path: Path, pix_fmt: str, values: Sequence[np.ndarray], **told: int) -> Path:
    """A lossless file of one picture: a plane (H, W) for each component."""
    height, width = values[0].shape
    frame = av.VideoFrame(width, height, pix_fmt)
    for plane, rows in zip(frame.planes, values, strict=True):
        padded = np.zeros((plane.height, plane.line_size // 2), np.uint16)
        padded[:, :width] = rows
        plane.update(padded.tobytes())
    with av.open(str(path), "w") as container:
        out = container.add_stream("ffv1", rate=6)
        out.width, out.height, out.pix_fmt = width, height, pix_fmt
        for name, value in told.items():
            setattr(out.codec_context, name, value)
            setattr(frame, name, value)
        container.mux(out.encode(frame))
        container.mux(out.encode(None))
    return path


@pytest.mark.parametrize(
    ("pix_fmt", "bits", "full"),
    [
        ("gray10le", 10, True),
        ("gray12le", 12, False),
        ("gray16le", 16, True),
        ("gbrp10le", 10, True),
        ("gbrp12le", 12, True),
        ("yuv444p10le", 10, True),
        ("yuv444p12le", 12, True),
        ("yuv444p10le", 10, False),
        ("yuv444p16le", 16, False),
    ],
)
def test_more_than_8_bits_are_rounded_to_the_nearest_level(tmp_path: Path, pix_fmt: str, bits: int, full: bool) -> None:
    """Of any format and range: as bright on average as they are."""
    short = pix_fmt.startswith("yuv") and not full
    low, high = (16 << (bits - 8), 235 << (bits - 8)) if short else (0, 2**bits - 1)
    codes = np.linspace(low, high, 64 * 96).round().reshape(64, 96)
    count = 1 if pix_fmt.startswith("gray") else 3
    others = [np.full_like(codes, 2 ** (bits - 1)) if pix_fmt.startswith("yuv") else codes] * (count - 1)
    path = stored(tmp_path / "a.mkv", pix_fmt, [codes, *others], color_range=2 if full else 1)
    error = read(path).frames[0] - ((codes - low) * 255 / (high - low))[..., None]
    assert np.abs(error).max() <= 0.51 and np.abs(error.mean()) < 0.02


@pytest.mark.parametrize("full", [False, True])
def test_alpha_of_10_bits_is_rounded_to_the_nearest_level(tmp_path: Path, full: bool) -> None:
    alpha = np.arange(1024).reshape(32, 32)
    planes = [np.full((32, 32), value) for value in (0 if full else 64, 512, 512)]
    path = stored(tmp_path / "a.mkv", "yuva444p10le", [*planes, alpha], color_range=2 if full else 1)
    assert np.array_equal(read(path).frames[0, ..., 0], 255 - np.round(alpha * 255 / 1023))


def test_an_opaque_hdr_picture_stays_so(tmp_path: Path) -> None:
    """The largest alpha of 10 bits is 255: white does not shine through."""
    planes = [np.full((16, 16), value) for value in (64, 512, 512, 1023)]
    path = stored(tmp_path / "a.mkv", "yuva444p10le", planes, color_range=1, color_trc=16, color_primaries=9)
    assert not read(path).frames.any()


@pytest.mark.parametrize(
    ("size", "matrix"),
    [
        ((720, 1280), 1),
        ((544, 1280), 1),
        ((720, 960), 1),
        ((1024, 576), 1),
        ((576, 1024), 6),
        ((576, 720), 6),
        ((360, 640), 6),
    ],
)
def test_high_definition_without_a_matrix_is_bt709(make_video: Maker, size: tuple[int, int], matrix: int) -> None:
    """As mpv and libplacebo guess it, also where it is cropped: 1280 pixels wide, or higher than 576."""
    path = make_video("a.mkv", np.zeros((1, *size, 3), np.uint8), codec="ffv1")
    frame = av.VideoFrame.from_ndarray(np.full((*size, 3), (30, 200, 60), np.uint8), format="rgb24")
    frame = frame.reformat(format="yuv420p", dst_colorspace={1: "ITU709", 6: "ITU601"}[matrix])
    frame.colorspace = 2
    with av.open(str(path), "w") as container:
        out = container.add_stream("ffv1", rate=6)
        out.height, out.width, out.pix_fmt = *size, "yuv420p"
        container.mux(out.encode(frame))
        container.mux(out.encode(None))
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).colorspace == 2
    assert np.abs(read(path).frames[0].astype(int) - (30, 200, 60)).max() <= 3


@pytest.mark.parametrize("suffix", ["jpg", "mpo"])
def test_a_photograph_with_a_gain_map_is_one_picture(tmp_path: Path, suffix: str) -> None:
    """As telephones and cameras write it, where FFmpeg sees a video of two pictures; a raw video of JPEGs is one."""
    photo, gain = Image.fromarray(corners(48, 64)), Image.new("L", (16, 12), 20)
    photo.save(tmp_path / "a.mpo", format="MPO", save_all=True, append_images=[gain], quality=95)
    path = (tmp_path / "a.mpo").rename(tmp_path / f"b.{suffix}")
    info = probe(path)
    assert (info.still, info.frames, info.notes) == (True, 1, ("2 pictures, the first is read",))
    for got in (read(path).frames, read(path, fps=5, frames=3).frames, read_track(path, info).frames):
        assert got.shape == (1, 48, 64, 3) and np.abs(got[0].astype(int) - corners(48, 64)).max() <= 12
    photo.save(tmp_path / "a.jpg")
    (tmp_path / "a.mjpeg").write_bytes((tmp_path / "a.jpg").read_bytes() * 3)
    assert not probe(tmp_path / "a.mjpeg").still and len(read(tmp_path / "a.mjpeg").frames) == 3


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_transparency_of_webm_is_told(tmp_path: Path, codec: str) -> None:
    """Its decoders give the colours alone."""
    path = tmp_path / "a.webm"
    pixels = np.full((32, 48, 4), (200, 40, 40, 0), np.uint8)
    with av.open(str(path), "w") as container:
        out = container.add_stream(codec, rate=6, options={"auto-alt-ref": "0"})
        out.width, out.height, out.pix_fmt = 48, 32, "yuva420p"
        for _ in range(3):
            container.mux(out.encode(av.VideoFrame.from_ndarray(pixels, format="rgba").reformat(format="yuva420p")))
        container.mux(out.encode(None))
    assert probe(path).notes == ("transparent, which is not read: what lies beneath shows",)
    assert np.abs(read(path).frames[0].astype(int) - (200, 40, 40)).max() <= 8


def test_gifs_with_transparency_and_disposal(tmp_path: Path) -> None:
    pictures = []
    for k in range(4):
        image = Image.new("RGBA", (40, 30), (0, 0, 0, 0))
        image.paste((250, 20, 60, 255), (4 * k, 5, 4 * k + 10, 20))
        pictures.append(image)
    for disposal in (1, 2):
        path = tmp_path / f"a{disposal}.gif"
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100, disposal=disposal)
        assert probe(path).notes == ("transparent, laid over white",)
        got = read(path).frames
        with Image.open(path) as image:
            for k in range(4):
                image.seek(k)
                over = Image.new("RGBA", image.size, (255, 255, 255, 255))
                over.alpha_composite(image.convert("RGBA"))
                assert np.array_equal(got[k], np.array(over.convert("RGB"))), (disposal, k)


@pytest.mark.parametrize(
    ("mode", "value", "expected", "notes"),
    [
        ("I;16", 0x8080, (128, 128, 128), ("16 bits a channel, read as 8",)),
        ("LA", (0, 51), (204, 204, 204), ("transparent, laid over white",)),
        ("P", 3, None, ()),
        ("1", 1, (255, 255, 255), ()),
        ("CMYK", (0, 255, 255, 0), (254, 0, 0), ()),
    ],
)
def test_modes_of_pictures(
    tmp_path: Path, mode: str, value: object, expected: tuple[int, int, int] | None, notes: tuple[str, ...]
) -> None:
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    image = Image.new(mode, (33, 17), value)  # type: ignore[arg-type]
    image.save(path)
    wanted = np.array(image.convert("RGB"))[0, 0] if expected is None else expected
    assert np.abs(read(path).frames[0].astype(int) - wanted).max() <= 2
    assert probe(path).notes == notes


def test_animated_pictures(tmp_path: Path) -> None:
    pictures = [Image.fromarray(picture) for picture in numbered(4)]
    for suffix in ("png", "avif"):
        path = tmp_path / f"a.{suffix}"
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100, quality=95)
        assert not probe(path).still
        assert number_of(read(path).frames) == [0, 1, 2, 3]
        assert probe(path).fps == 10
    pictures[2].save(tmp_path / "still.avif", quality=95)
    assert probe(tmp_path / "still.avif").still
    assert number_of(read(tmp_path / "still.avif", frames=5).frames) == [2]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], duration=100)
    with pytest.raises(ValueError, match=r"a\.webp: is an animated WebP, which FFmpeg cannot decode"):
        probe(tmp_path / "a.webp")
    pictures[1].save(tmp_path / "alpha.webp", exif=Image.Exif())
    assert number_of(read(tmp_path / "alpha.webp").frames) == [1]


def test_sound_and_other_streams_are_told(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        for _ in range(2):
            out = container.add_stream("ffv1", rate=6)
            out.width, out.height, out.pix_fmt = 64, 48, "yuv420p"
        tone = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for k, one in enumerate(numbered(3)):
            for out in container.streams.video:
                frame = av.VideoFrame.from_ndarray(one, format="rgb24").reformat(format="yuv420p")
                frame.pts = k
                container.mux(out.encode(frame))
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 4000), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(tone.encode(sound))
        for out in container.streams.video:
            container.mux(out.encode(None))
    info = probe(tmp_path / "a.mkv")
    assert info.sound
    assert info.notes == ("has sound", "2 video streams, one is read")


def alive() -> int:
    """How many decoded pictures are in memory."""
    return sum(type(thing) is av.VideoFrame for thing in gc.get_objects())


def test_a_stream_gives_what_reading_gives(make_video: Maker, tmp_path: Path) -> None:
    from zoetrope.video import Video, stretches

    path = make_video("a.mp4", picture_clip(30), options={"g": "7", "bf": "3"})
    Video(picture_clip(7), 12).save(f"{tmp_path}/pictures/")
    for source in (path, tmp_path / "pictures"):
        for asked in ({}, {"fps": 7.0}, {"start": 0.21, "frames": 9}, {"size": (20, 30), "crop": (0.0, 1.0)}):
            whole = read(source, **asked)
            assert np.array_equal(np.stack(list(stream(source, **asked))), whole.frames)
            parts = list(stretches(source, 4, **asked))
            assert {part.fps for part in parts} == {whole.fps}
            assert [len(part.frames) for part in parts[:-1]] == [4] * (len(parts) - 1)
            assert np.array_equal(np.concatenate([part.frames for part in parts]), whole.frames)
    with pytest.raises(ValueError, match="at least 1 frame"):
        stretches(path, 0)


def test_a_stream_holds_few_pictures(make_video: Maker) -> None:
    path = make_video("a.mp4", numbered(60, 64, 64), options={"g": "60", "bf": "0"})
    gc.collect()
    gc.disable()
    try:
        before = alive()
        most = max(alive() for number, _ in enumerate(stream(path)) if number % 20 == 19)
    finally:
        gc.enable()
    assert most - before <= 4
