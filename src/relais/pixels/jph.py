"""High-Throughput JPEG 2000 codestreams as files of their own (ISO/IEC 15444-15). Knows boxes, no wavelets."""

import struct

_SIGNATURE = b"\r\n\x87\n"
_BITS = 7  # one less than there are, and unsigned
_WAVELETS = 7  # the only kind of compression there is
_GREY, _SRGB = 17, 16


def wrapped(codestream: bytes, width: int, height: int, components: int) -> bytes:
    """*codestream*, of 8-bit grey or sRGB, in the boxes that image/jph has (PS3.18 8.7.4)."""
    header = struct.pack(">IIHBBBB", height, width, components, _BITS, _WAVELETS, 0, 0)
    colours = struct.pack(">BBBI", 1, 0, 0, _GREY if components == 1 else _SRGB)
    return b"".join(
        (
            _box(b"jP  ", _SIGNATURE),
            _box(b"ftyp", b"jph \0\0\0\0jph "),
            _box(b"jp2h", _box(b"ihdr", header) + _box(b"colr", colours)),
            _box(b"jp2c", codestream),
        )
    )


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content
