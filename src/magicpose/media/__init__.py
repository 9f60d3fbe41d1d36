"""Pictures and videos in and out: the only place where the project touches media files (PyAV, Pillow).

Times are seconds, sizes (width, height) pixels, frames uint8 RGB [height, width, 3].
"""

from magicpose.media.decode import Frame
from magicpose.media.files import MediaWarning, check_output
from magicpose.media.formats import FORMATS
from magicpose.media.image import IMAGE_SUFFIXES, MAX_PIXELS, list_images, read_image, read_image_folder
from magicpose.media.metadata import read_metadata
from magicpose.media.video_in import VideoInfo, exact_fps, probe, read_video
from magicpose.media.video_out import VideoWriter, write_video

__all__ = [
    "FORMATS",
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "Frame",
    "MediaWarning",
    "VideoInfo",
    "VideoWriter",
    "check_output",
    "exact_fps",
    "list_images",
    "probe",
    "read_image",
    "read_image_folder",
    "read_metadata",
    "read_video",
    "write_video",
]
