"""Videos of named channels with units: their values, files of these, and pictures of them through colour maps.

`value` has the `Fields`; `colours` the colour maps; `writing` says which files hold them, one format a file beside it.
"""

from zoetrope.fields.ensemble import Ensemble
from zoetrope.fields.value import Fields, Look, content_of, video_of, views
from zoetrope.fields.writing import check_file, holds_values, read_maps, read_values, tags_in

__all__ = [
    "Ensemble",
    "Fields",
    "Look",
    "check_file",
    "content_of",
    "holds_values",
    "read_maps",
    "read_values",
    "tags_in",
    "video_of",
    "views",
]
