"""Video out: a writer that takes one frame at a time and leaves a whole file or none."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

from magicpose.errors import UserError
from magicpose.files import replacing, replacing_folder
from magicpose.media.audio import AudioSource, Sound, add_sound, warn_of_silence
from magicpose.media.decode import Frame
from magicpose.media.files import PathLike, check_output, explained, frame_name
from magicpose.media.formats import Container, Folder, Format, Gif, available, format_of
from magicpose.media.metadata import png_text, to_json, webp_with_metadata
from magicpose.media.video_in import exact_fps

_BT709, _SRGB, _TV_RANGE = 1, 13, 1  # numbers of ITU-T H.273


class Sink(Protocol):
    """Where the frames of one format go: a draft, which `finish` completes; `close` lets go of it, complete or not."""

    def write(self, frame: Frame) -> None: ...
    def finish(self) -> None: ...
    def close(self) -> None: ...


class VideoWriter:
    """Writes frames to `path`, format by suffix (`formats.FORMATS`), at exactly `fps`.

    Used as a context manager; the file appears in one step at the end, complete, and not at all after an
    exception. Memory does not grow with the length, but for GIF (one byte per pixel at the end). `audio` is added in
    step and ends with the frames. `metadata` (JSON) travels in the file, see `read_metadata`.
    UserError: unknown suffix, file exists (unless `overwrite`), folder not writable, disk full, no frames.
    """

    def __init__(
        self,
        path: PathLike,
        fps: float | Fraction,
        *,
        audio: AudioSource | None = None,
        metadata: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        self.frames = 0
        form = format_of(self.path)
        check_output(self.path, overwrite)
        rate, remark = exact_fps(fps), to_json(metadata)
        place = (replacing_folder if isinstance(form, Folder) else replacing)(self.path, new=not overwrite)
        with explained(self.path), contextlib.ExitStack() as stack:
            self._sink = _sink(form, stack.enter_context(place), rate, audio, remark)
            stack.callback(self._sink.close)
            self._stack = stack.pop_all()

    def write(self, frame: Frame | Image.Image) -> None:
        """Adds `frame`: uint8 RGB [height, width, 3] or a PIL image, all of one size."""
        array = np.ascontiguousarray(frame.convert("RGB") if isinstance(frame, Image.Image) else frame)
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
            raise ValueError(f"a frame must be uint8 [height, width, 3], not {array.dtype} {list(array.shape)}")
        if self.frames == 0:
            self._shape = array.shape
        if array.shape != self._shape:
            raise ValueError(f"all frames must have the size {self._shape}, frame {self.frames} has {array.shape}")
        with explained(self.path):
            self._sink.write(array)
        self.frames += 1

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with explained(self.path), self._stack:
            if self.frames == 0:
                raise UserError(f"cannot write {self.path}: there are no frames")
            self._sink.finish()


def write_video(
    path: PathLike,
    frames: Iterable[Frame | Image.Image],
    fps: float | Fraction,
    *,
    audio: AudioSource | None = None,
    metadata: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """All `frames` to `path` through a `VideoWriter`."""
    with VideoWriter(path, fps, audio=audio, metadata=metadata, overwrite=overwrite) as writer:
        for frame in frames:
            writer.write(frame)


def _sink(form: Format, draft: Path, fps: Fraction, audio: AudioSource | None, metadata: str) -> Sink:
    if isinstance(form, Container):
        return _ContainerSink(form, draft, fps, audio, metadata)
    if audio is not None:
        warn_of_silence(audio, "GIF" if isinstance(form, Gif) else "a folder of pictures")
    return _GifSink(draft, fps, metadata) if isinstance(form, Gif) else _FolderSink(draft, metadata)


class _ContainerSink:
    """mp4, webm and animated webp through PyAV."""

    def __init__(self, form: Container, draft: Path, fps: Fraction, audio: AudioSource | None, metadata: str) -> None:
        self._form, self._draft, self._fps, self._audio, self._metadata = form, draft, fps, audio, metadata
        self._encoder = available(form.encoders)
        self._output: av.container.OutputContainer | None = None
        self._sound: Sound | None = None
        self._count = 0

    def _open(self, frame: Frame) -> None:
        form, encoder = self._form, self._encoder
        self._output = av.open(str(self._draft), "w", format=form.name, options=form.options)
        self._output.metadata["comment"] = self._metadata
        stream = self._stream = self._output.add_stream(encoder.name, rate=self._fps, options=encoder.options)
        stream.height, stream.width = frame.shape[:2]
        stream.pix_fmt = encoder.pix_fmt
        context = stream.codec_context
        context.time_base = 1 / self._fps
        context.colorspace = context.color_primaries = _BT709
        context.color_trc, context.color_range = _SRGB, _TV_RANGE
        self._sound = None if self._audio is None else add_sound(self._audio, self._output, form)

    def write(self, frame: Frame) -> None:
        if self._encoder.pix_fmt == "yuv420p":
            frame = even(frame)
        if self._output is None:
            self._open(frame)
        picture = av.VideoFrame.from_ndarray(frame).reformat(
            format=self._stream.pix_fmt, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        picture.pts, picture.time_base = self._count, 1 / self._fps
        self._count += 1
        assert self._output is not None
        self._output.mux(self._stream.encode(picture))
        if self._sound is not None:
            self._sound.advance(self._count / self._fps)

    def finish(self) -> None:
        assert self._output is not None
        self._output.mux(self._stream.encode())
        if self._sound is not None:
            self._sound.finish(self._count / self._fps)
        self._output.close()
        self._output = None
        if self._form.name == "webp":
            size = self._stream.width, self._stream.height
            self._draft.write_bytes(webp_with_metadata(self._draft.read_bytes(), size, self._metadata))

    def close(self) -> None:
        if self._output is not None:
            with contextlib.suppress(av.FFmpegError, OSError):  # the disk may be full: it is thrown away anyway
                self._output.close()
            self._output = None
        if self._sound is not None:
            self._sound.close()


def even(frame: Frame) -> Frame:
    """4:2:0 colour needs even sizes: the last row or column is repeated where it takes that."""
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge") if height % 2 or width % 2 else frame


class _Spool:
    """Frames kept, losslessly packed, in a nameless file beside the output."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - lives as long as the writer
        self._lengths: list[int] = []
        self._shape: tuple[int, ...] = ()

    def add(self, frame: Frame) -> None:
        self._shape = frame.shape
        self._lengths.append(self._file.write(zlib.compress(frame.tobytes(), 1)))

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[Image.Image]:
        self._file.seek(0)
        for length in self._lengths:
            data = zlib.decompress(self._file.read(length))
            yield Image.fromarray(np.frombuffer(data, np.uint8).reshape(self._shape))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()


class _GifSink:
    """GIF through Pillow, with one palette for all frames, made from frames spread over the whole clip."""

    def __init__(self, draft: Path, fps: Fraction, metadata: str) -> None:
        self._draft, self._fps, self._metadata = draft, fps, metadata
        self._spool = _Spool(draft.parent)

    def write(self, frame: Frame) -> None:
        self._spool.add(frame)

    def finish(self) -> None:
        palette = _shared_palette(self._spool)
        reduced = (frame.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for frame in self._spool)
        first = next(reduced)
        first.save(
            self._draft,
            format="GIF",
            save_all=True,
            append_images=reduced,
            duration=_centiseconds(len(self._spool), self._fps),
            loop=0,
            comment=self._metadata.encode(),
            disposal=1,
        )

    def close(self) -> None:
        self._spool.close()


def _shared_palette(spool: _Spool, samples: int = 16, side: int = 256) -> Image.Image:
    """A picture in the best 256 colours for `samples` evenly spread frames, each scaled to at most `side` pixels."""
    step = -(-len(spool) // samples)
    chosen = [frame for index, frame in enumerate(spool) if index % step == 0]
    for frame in chosen:
        frame.thumbnail((side, side), Image.Resampling.NEAREST)
    sheet = np.concatenate([np.asarray(frame) for frame in chosen])
    return Image.fromarray(sheet).quantize(256, method=Image.Quantize.MEDIANCUT)


def _centiseconds(count: int, fps: Fraction) -> list[int]:
    """Durations in ms, whole hundredths as GIF has it, whose running sum never strays from the true time."""
    borders = [round(index * 100 / fps) for index in range(count + 1)]
    return [10 * (after - before) for before, after in itertools.pairwise(borders)]


class _FolderSink:
    """PNG files 000000.png, 000001.png, ... in a folder."""

    def __init__(self, draft: Path, metadata: str) -> None:
        self._draft, self._metadata = draft, metadata
        self._count = 0

    def write(self, frame: Frame) -> None:
        Image.fromarray(frame).save(self._draft / frame_name(self._count), pnginfo=png_text(self._metadata))
        self._count += 1

    def finish(self) -> None:
        """There is nothing to add."""

    def close(self) -> None:
        """There is nothing open."""
