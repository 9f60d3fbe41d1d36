from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from magicpose import media
from magicpose.errors import UserError
from media_clips import numbered, psnr


def hand_made_png(width: int, height: int, bits: int, rows: bytes) -> bytes:
    """An RGB PNG such as Pillow cannot write: 16 bits, or a header that promises too much."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.fixture
def scene() -> Image.Image:
    """Smooth colours, so that a lossy format keeps them."""
    y, x = np.mgrid[:48, :64]
    return Image.fromarray(np.stack([x * 4, y * 5, 255 - x * 2 - y * 2], -1).astype(np.uint8))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp", "a.tiff", "a.ppm", "a.avif", "a.jp2"])
def test_common_formats(tmp_path: Path, scene: Image.Image, name: str) -> None:
    scene.save(tmp_path / name, quality=95)
    image = media.read_image(tmp_path / name)
    assert (image.mode, image.size) == ("RGB", scene.size)
    assert psnr(np.asarray(image), np.asarray(scene)) > 34


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path: Path, scene: Image.Image, orientation: int) -> None:
    turns = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90"}
    turns |= {7: "TRANSVERSE", 8: "ROTATE_270"}  # from the upright picture to the stored one
    stored = scene if orientation == 1 else scene.transpose(Image.Transpose[turns[orientation]])
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.jpg", quality=95, exif=exif)
    assert psnr(np.asarray(media.read_image(tmp_path / "a.jpg")), np.asarray(scene)) > 34


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, 4:] = (200, 0, 0, 128)
    rgba = Image.fromarray(pixels)
    for name, image in {"rgba.png": rgba, "la.png": rgba.convert("LA"), "a.webp": rgba}.items():
        image.save(tmp_path / name, lossless=True)
        read = np.asarray(media.read_image(tmp_path / name)).astype(int)
        assert (read[:, :4] == 255).all(), name
    assert np.abs(np.asarray(media.read_image(tmp_path / "rgba.png"))[0, 6].astype(int) - (227, 127, 127)).max() <= 1


def test_palettes_with_and_without_transparency(tmp_path: Path, scene: Image.Image) -> None:
    scene.quantize(64).save(tmp_path / "p.png")
    assert psnr(np.asarray(media.read_image(tmp_path / "p.png")), np.asarray(scene)) > 25
    Image.new("P", (4, 4), 0).save(tmp_path / "t.gif", transparency=0)
    assert (np.asarray(media.read_image(tmp_path / "t.gif")) == 255).all()


def test_deep_grey_is_scaled_not_cut(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64).round()
    expected = (ramp / 257).round()
    for name, array in {
        "png16.png": ramp.astype(np.uint16),
        "tiff16.tiff": ramp.astype(np.uint16),
        "int.tiff": ramp.astype(np.int32),
        "float.tiff": (ramp / 65535).astype(np.float32),
    }.items():
        Image.fromarray(np.tile(array, (8, 1))).save(tmp_path / name)
        read = np.asarray(media.read_image(tmp_path / name))
        assert np.abs(read[0, :, 1] - expected).max() <= 1, name


def test_sixteen_bit_colour(tmp_path: Path) -> None:
    row = b"\0" + np.array([0x1234, 0x80FF, 0xFFFF] * 4, ">u2").tobytes()
    (tmp_path / "deep.png").write_bytes(hand_made_png(4, 4, 16, row * 4))
    assert np.abs(np.asarray(media.read_image(tmp_path / "deep.png"))[0, 0].astype(int) - (18, 128, 255)).max() <= 1


def test_cmyk_one_bit_and_grey(tmp_path: Path, scene: Image.Image) -> None:
    scene.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    assert psnr(np.asarray(media.read_image(tmp_path / "cmyk.jpg")), np.asarray(scene)) > 30
    for mode in ("1", "L"):
        scene.convert(mode).save(tmp_path / "grey.png")
        assert (
            np.asarray(media.read_image(tmp_path / "grey.png")) == np.asarray(scene.convert(mode).convert("RGB"))
        ).all()


def test_colours_follow_the_embedded_profile(tmp_path: Path, scene: Image.Image) -> None:
    """A picture kept in Lab, whose profile says so, comes back as the colours it was made from."""
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    stored = ImageCms.profileToProfile(scene, srgb, lab, outputMode="LAB")
    assert stored is not None
    stored.save(tmp_path / "lab.tiff", icc_profile=ImageCms.ImageCmsProfile(lab).tobytes())
    assert psnr(np.asarray(media.read_image(tmp_path / "lab.tiff")), np.asarray(scene)) > 30


def test_a_broken_profile_is_only_a_warning(tmp_path: Path, scene: Image.Image) -> None:
    scene.save(tmp_path / "a.png", icc_profile=b"not a profile")
    with pytest.warns(media.MediaWarning, match="profile"):
        assert (np.asarray(media.read_image(tmp_path / "a.png")) == np.asarray(scene)).all()


def with_chunk(data: bytes, name: bytes, body: bytes, check: int | None = None) -> bytes:
    """The PNG `data` with one more chunk after its header."""
    check = zlib.crc32(name + body) if check is None else check
    return data[:33] + struct.pack(">I", len(body)) + name + body + struct.pack(">I", check) + data[33:]


BESIDE_PIXELS = {
    "much text": (b"zTXt", b"a\0\0" + zlib.compress(bytes(2 << 20)), None),
    "text bomb": (b"zTXt", b"a\0\0" + zlib.compress(bytes(100 << 20), 9), None),
    "wrong check sum": (b"tEXt", b"Software\0x", 5),
    "short chunk": (b"pHYs", bytes(3), None),
    "short colours": (b"cHRM", bytes(5), None),
    "animation header": (b"acTL", bytes(3), None),
    "EXIF": (b"eXIf", bytes.fromhex("0008000201120003"), None),
}


@pytest.mark.parametrize("what", BESIDE_PIXELS)
def test_damage_beside_the_pixels_is_noted(tmp_path: Path, scene: Image.Image, what: str) -> None:
    path = tmp_path / "a.png"
    scene.save(path)
    path.write_bytes(with_chunk(path.read_bytes(), *BESIDE_PIXELS[what]))
    with pytest.warns(media.MediaWarning, match=r"a\.png has damaged .*ignored"):
        assert np.array_equal(np.asarray(media.read_image(path)), np.asarray(scene))


JPEGS = {"plain": {}, "progressive": {"progressive": True}, "restarts": {"restart_marker_blocks": 3}}


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_needs_its_pixels_not_its_end_marker(tmp_path: Path, scene: Image.Image, kind: str) -> None:
    path = tmp_path / "a.jpg"
    scene.save(path, **JPEGS[kind])  # type: ignore[arg-type]
    whole, expected = path.read_bytes(), np.asarray(media.read_image(path))
    for missing in (1, 2):
        path.write_bytes(whole[:-missing])
        with pytest.warns(media.MediaWarning, match="lacks its end marker; all of its pixels are there"):
            assert np.array_equal(np.asarray(media.read_image(path)), expected)
    for missing in (6, 40, len(whole) // 3):
        path.write_bytes(whole[:-missing])
        with pytest.raises(UserError, match="damaged or cut short"):
            media.read_image(path)


def test_a_progressive_jpeg_without_its_last_scan_is_refused(tmp_path: Path, scene: Image.Image) -> None:
    path = tmp_path / "a.jpg"
    scene.save(path, progressive=True)
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(b"\xff\xda")])
    with pytest.raises(UserError, match="damaged or cut short"):
        media.read_image(path)


def test_of_an_animation_the_first_frame(tmp_path: Path) -> None:
    media.write_video(tmp_path / "a.gif", [numbered(k) for k in range(3)], 10)
    assert psnr(np.asarray(media.read_image(tmp_path / "a.gif")), numbered(0)) > 25


def test_no_more_pixels_than_stated(tmp_path: Path) -> None:
    for size in ((10_001, 10_000), (30_000, 30_000), (2**31 - 1, 2**31 - 1)):
        (tmp_path / "bomb.png").write_bytes(hand_made_png(*size, 8, b""))
        with pytest.raises(UserError, match="100 megapixels"):
            media.read_image(tmp_path / "bomb.png")


def test_programs_are_no_pictures(tmp_path: Path) -> None:
    """PostScript is a program, run by another program: refused before it is looked into."""
    (tmp_path / "a.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
    with pytest.raises(UserError, match="not a picture"):
        media.read_image(tmp_path / "a.eps")


def test_a_folder_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 9, 1, 100):
        Image.fromarray(numbered(number)).save(tmp_path / f"frame{number}.PNG")
    (tmp_path / ".frame0.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("")
    assert [path.name for path in media.list_images(tmp_path)] == [f"frame{n}.PNG" for n in (1, 9, 10, 100)]
    assert [image.size for image in media.read_image_folder(tmp_path)] == [(64, 48)] * 4


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_written_pictures_carry_how_they_were_made(tmp_path: Path, scene: Image.Image, name: str) -> None:
    media.write_image(tmp_path / name, scene, metadata={"seed": 7})
    assert media.read_metadata(tmp_path / name) == {"seed": 7}
    assert psnr(np.asarray(media.read_image(tmp_path / name)), np.asarray(scene)) > 34
    with pytest.raises(UserError, match="exists"):
        media.write_image(tmp_path / name, scene)
    media.write_image(tmp_path / name, scene, overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_pictures_in_unknown_formats_are_not_written(tmp_path: Path, scene: Image.Image) -> None:
    with pytest.raises(UserError, match="use one of"):
        media.write_image(tmp_path / "a.xyz", scene)
