"""Videos in memory and on disk: the value, reading by timestamp, writing whole or not at all, contact sheets.

The `Video` lives in `value`, files are read in `reading` (with the timing of pictures in `timing`), written in
`writing`, and pictures for people are made in `sheet`.
"""

from zoetrope.video.member import Member
from zoetrope.video.reading import Info, Track, probe, read, read_probed, read_track
from zoetrope.video.sheet import contact_sheet
from zoetrope.video.tags import read_tags
from zoetrope.video.value import Video, expect_finite, pictures, save_tensor
from zoetrope.video.writing import Writer, check_output, open_writer, save_image

__all__ = [
    "Info",
    "Member",
    "Track",
    "Video",
    "Writer",
    "check_output",
    "contact_sheet",
    "expect_finite",
    "open_writer",
    "pictures",
    "probe",
    "read",
    "read_probed",
    "read_tags",
    "read_track",
    "save_image",
    "save_tensor",
]
