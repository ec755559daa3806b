"""Videos in memory and on disk: the value, reading by timestamp, writing whole or not at all, contact sheets.

The `Video` lives in `value`. `info` says what is in a file and `reading` reads it, whole or as a stream, from what
`opening` lets in; files are written in `writing`, with `sound` and `tags`; pictures for people are made in `sheet`.
"""

from zoetrope.video.info import SAME_RATE, Info, expected_frames, probe, rate_to_read
from zoetrope.video.member import Member
from zoetrope.video.reading import Track, read, read_probed, read_track, stream, stretches
from zoetrope.video.sheet import contact_sheet
from zoetrope.video.tags import read_tags
from zoetrope.video.value import Video, expect_finite, pictures, save_tensor
from zoetrope.video.writing import Writer, check_output, open_writer, save_image

__all__ = [
    "SAME_RATE",
    "Info",
    "Member",
    "Track",
    "Video",
    "Writer",
    "check_output",
    "contact_sheet",
    "expect_finite",
    "expected_frames",
    "open_writer",
    "pictures",
    "probe",
    "rate_to_read",
    "read",
    "read_probed",
    "read_tags",
    "read_track",
    "save_image",
    "save_tensor",
    "stream",
    "stretches",
]
