"""Pictures and videos in and out: the only place where the project touches media files (PyAV, Pillow).

Times are seconds, sizes (width, height) pixels, frames uint8 RGB [height, width, 3].
"""

from magicpose.media.audio import AudioSource
from magicpose.media.canvas import Canvas, Placement, parse_size
from magicpose.media.decode import Frame
from magicpose.media.files import MediaWarning, check_output
from magicpose.media.formats import FORMATS
from magicpose.media.frames import PICTURE_FPS, FrameSource, open_frames
from magicpose.media.grid import contact_sheet, grid
from magicpose.media.image import (
    IMAGE_SUFFIXES,
    MAX_PIXELS,
    image_size,
    list_images,
    read_image,
    read_image_folder,
    write_image,
)
from magicpose.media.metadata import read_metadata
from magicpose.media.video_in import VideoInfo, exact_fps, probe, read_video
from magicpose.media.video_out import VideoWriter, write_video

__all__ = [
    "FORMATS",
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "PICTURE_FPS",
    "AudioSource",
    "Canvas",
    "Frame",
    "FrameSource",
    "MediaWarning",
    "Placement",
    "VideoInfo",
    "VideoWriter",
    "check_output",
    "contact_sheet",
    "exact_fps",
    "grid",
    "image_size",
    "list_images",
    "open_frames",
    "parse_size",
    "probe",
    "read_image",
    "read_image_folder",
    "read_metadata",
    "read_video",
    "write_image",
    "write_video",
]
