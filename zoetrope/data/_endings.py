"""The endings by which a shard's videos and images are known: those of folders, and further ones that metadata name.

".heic" is not among them: FFmpeg gives a photo of a phone in tiles.
"""

from zoetrope.data._listing import IMAGES, VIDEOS

_MORE_IMAGES = {".jfif", ".jp2", ".jpe", ".ppm"}
_MORE_VIDEOS = {
    ".3g2", ".3gp", ".apng", ".asf", ".divx", ".f4v", ".flv", ".m2t", ".m2ts", ".m2v", ".mpe", ".mts", ".mxf", ".qt",
    ".vob", ".y4m",
}  # fmt: skip
MEDIA = frozenset(IMAGES | VIDEOS | _MORE_IMAGES | _MORE_VIDEOS)
