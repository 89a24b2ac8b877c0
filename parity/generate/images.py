"""Writes parity/fixtures/images: small image files of every kind that Trompe reads, and what Pillow makes of them.

`files/NAME` is decoded by the test, `expected/NAME.png` holds Pillow's pixels: EXIF orientation applied, opacity
composited on white, gray kept gray, everything else RGB. `resize/SIZE-FILTER-MODE.png` are Pillow's antialiased
resizes of `resize/source-MODE.png`. Made with Pillow 13.0 and NumPy 2.4.

Run: python parity/generate/images.py
"""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

ROOT = Path(__file__).parents[1] / "fixtures" / "images"
FILES, EXPECTED, RESIZE = ROOT / "files", ROOT / "expected", ROOT / "resize"
for folder in (FILES, EXPECTED, RESIZE):
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()


def picture(width, height, channels, smooth=True):
    """Waves of different directions in each channel: smooth, so that lossy formats stay close, yet without symmetry."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 5 + y / 9 + c) * 60 + np.cos(y / (4 + c) - x / 11) * 50 + 128 for c in range(channels)]
    image = np.clip(np.stack(waves, -1), 0, 255)
    if not smooth:
        image = (image + np.random.default_rng(7).integers(0, 256, image.shape)) % 256
    return image.astype(np.uint8)


RGB = Image.fromarray(picture(37, 26, 3))
GRAY = Image.fromarray(picture(37, 26, 1)[..., 0])
RGBA = Image.fromarray(picture(37, 26, 4))
LA = Image.merge("LA", (GRAY, RGBA.getchannel("A")))
PALETTE = RGB.quantize(32)
BILEVEL = GRAY.convert("1")
SIXTEEN = (picture(37, 26, 1)[..., 0].astype(np.uint16) * 250 + np.arange(37, dtype=np.uint16))


def plain(image):
    """What Trompe should see: upright, gray or RGB, opacity in front of white."""
    image = ImageOps.exif_transpose(image)
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode == "LA":
        white = Image.new("LA", image.size, (255, 255))
        return Image.alpha_composite(white.convert("RGBA"), image.convert("RGBA")).getchannel("R")
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, (255,) * 4)
        return Image.alpha_composite(white, image).convert("RGB")
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode == "L" else image.convert("RGB")


def keep(name, data, expected=None):
    (FILES / name).write_bytes(data)
    if expected is None:
        expected = plain(Image.open(io.BytesIO(data)))
    expected.save(EXPECTED / f"{name}.png", optimize=True)


def save(name, image, expected=None, **options):
    buffer = io.BytesIO()
    image.save(buffer, **options)
    keep(name, buffer.getvalue(), expected)


def png(width, height, depth, kind, rows, extra=()):
    """A PNG written by hand, for what Pillow cannot write."""
    def chunk(tag, data):
        return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))
    raw = b"".join(b"\0" + row for row in rows)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
            + b"".join(chunk(*pair) for pair in extra) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b""))


def rounded(sixteen):
    """16 bits to 8, rounded: 65535 is 255."""
    return ((sixteen.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


save("gray.png", GRAY, format="PNG")
save("rgb.png", RGB, format="PNG")
save("rgba.png", RGBA, format="PNG")
save("gray-alpha.png", LA, format="PNG")
save("palette.png", PALETTE, format="PNG")
save("palette-transparent.png", PALETTE, format="PNG", transparency=3)
save("bilevel.png", BILEVEL, format="PNG")
for depth in (2, 4):
    levels = picture(37, 26, 1)[..., 0] >> (8 - depth)
    bits = ((levels[..., None] >> np.arange(depth - 1, -1, -1)) & 1).reshape(26, -1)
    keep(f"gray{depth}.png", png(37, 26, depth, 0, [np.packbits(row).tobytes() for row in bits]),
         Image.fromarray((levels.astype(int) * 255 // (2**depth - 1)).astype(np.uint8)))
keep("gray16.png", png(37, 26, 16, 0, [row.astype(">u2").tobytes() for row in SIXTEEN]), Image.fromarray(rounded(SIXTEEN)))
DEEP = np.stack([SIXTEEN, SIXTEEN[::-1], SIXTEEN[:, ::-1]], -1)
keep("rgb16.png", png(37, 26, 16, 2, [row.astype(">u2").tobytes() for row in DEEP]), Image.fromarray(rounded(DEEP)))
save("interlaced-name-lies.jpg", RGB, format="PNG")

save("gray.jpg", GRAY, format="JPEG", quality=90)
save("rgb-444.jpg", RGB, format="JPEG", quality=90, subsampling=0)
save("rgb-420.jpg", RGB, format="JPEG", quality=90, subsampling=2)
save("rgb-422-progressive.jpg", RGB, format="JPEG", quality=80, subsampling=1, progressive=True)
save("cmyk.jpg", RGB.convert("CMYK"), format="JPEG", quality=95, subsampling=0)


def jpeg(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", **options)
    return buffer.getvalue()


def resampled(data, sampling, width, height):
    """The same coefficients under another header: sampling factors that Pillow does not write."""
    data = bytearray(data)
    frame = data.index(b"\xff\xc0")
    data[frame + 5:frame + 9] = struct.pack(">2H", height, width)
    data[frame + 11] = sampling
    return bytes(data)


NOISE = Image.fromarray(picture(33, 21, 3, smooth=False))
for side in (1, 2, 3, 5):
    save(f"tiny-{side}.jpg", NOISE.crop((0, 0, side, side)), format="JPEG", quality=95, subsampling=2)
save("noise-420.jpg", NOISE, format="JPEG", quality=70, subsampling=2)
save("noise-422-restart.jpg", NOISE, format="JPEG", quality=60, subsampling=1, restart_marker_blocks=2)
save("noise-progressive-restart.jpg", NOISE, format="JPEG", quality=60, subsampling=2, progressive=True,
     restart_marker_blocks=1)
save("noise-gray-progressive.jpg", NOISE.convert("L"), format="JPEG", quality=20, progressive=True)
SQUARE = Image.fromarray(picture(32, 32, 3))
keep("440.jpg", resampled(jpeg(SQUARE, quality=90, subsampling=1), 0x12, 29, 31))
keep("411.jpg", resampled(jpeg(SQUARE, quality=90, subsampling=2), 0x41, 61, 16))
keep("410-upright.jpg", resampled(jpeg(SQUARE, quality=90, subsampling=2), 0x14, 16, 61))
cmyk = bytearray(jpeg(RGB.convert("CMYK"), quality=95, subsampling=0))
cmyk[cmyk.index(b"Adobe") + 11] = 2
keep("ycck.jpg", bytes(cmyk))
rgb = bytearray(jpeg(RGB, quality=90, subsampling=0))
adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
keep("adobe-rgb.jpg", bytes(rgb[:2] + adobe + rgb[20:]))
for orientation in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(f"exif-{orientation}.jpg", RGB, format="JPEG", quality=90, subsampling=0, exif=exif)
exif = Image.Exif()
exif[0x0112] = 6
save("exif-6.png", RGB, format="PNG", exif=exif)
save("exif-6.webp", RGB, format="WEBP", lossless=True, exif=exif)

save("lossless.webp", RGB, format="WEBP", lossless=True)
save("lossless-alpha.webp", RGBA, format="WEBP", lossless=True, exact=True)
save("lossy.webp", RGB, format="WEBP", quality=90)
save("animated.webp", RGB, expected=RGB, format="WEBP", lossless=True, save_all=True, append_images=[RGB.transpose(0)])

save("palette.gif", PALETTE, format="GIF")
save("transparent.gif", PALETTE, format="GIF", transparency=3)
save("animated.gif", PALETTE, expected=PALETTE.convert("RGB"), format="GIF", save_all=True,
     append_images=[PALETTE.transpose(0)])

save("rgb.bmp", RGB, format="BMP")
save("palette.bmp", PALETTE, format="BMP")
save("bilevel.bmp", BILEVEL, expected=BILEVEL.convert("RGB"), format="BMP")
save("gray.bmp", GRAY, expected=GRAY.convert("RGB"), format="BMP")

save("gray.tif", GRAY, format="TIFF")
save("rgb-lzw.tif", RGB, format="TIFF", compression="tiff_lzw")
save("rgba-deflate.tif", RGBA, format="TIFF", compression="tiff_adobe_deflate")
save("cmyk.tif", RGB.convert("CMYK"), format="TIFF")
save("bilevel.tif", BILEVEL, format="TIFF")
save("gray16.tif", Image.fromarray(SIXTEEN), expected=Image.fromarray(rounded(SIXTEEN)), format="TIFF")

FILTERS = {"box": Image.Resampling.BOX, "bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC,
           "lanczos": Image.Resampling.LANCZOS}
NOISE = picture(61, 47, 4, smooth=False)
for mode, image in (("gray", NOISE[..., 0]), ("rgb", NOISE[..., :3]), ("rgba", NOISE)):
    source = Image.fromarray(image)
    source.save(RESIZE / f"source-{mode}.png", optimize=True)
    for width, height in ((16, 16), (7, 40), (90, 64)):
        for name, kernel in FILTERS.items():
            source.resize((width, height), kernel).save(RESIZE / f"{width}x{height}-{name}-{mode}.png", optimize=True)
