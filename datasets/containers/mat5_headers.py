"""Variables of a MATLAB file of version 5 to 7, from their headers alone.

scipy's `whosmat` fails on a file with one variable of a class that it does not know, such as a
MATLAB string. The format is that of "MAT-File Format" (The MathWorks, chapter 1): a header of 128
bytes, then one element for each variable, a tag of 8 bytes (type, length) and its data. A
compressed element (type 15) holds such an element in zlib's format.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MATRIX, _COMPRESSED = 14, 15
_COMPLEX_FLAG, _LOGICAL_FLAG = 0x0800, 0x0200
_HEADER_BYTES = 512  # of a variable: flags, up to 32 dimensions, and a name of up to 63 letters

# The codes of MATLAB's classes.
_CLASSES = {
    1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 6: "double", 7: "single",
    8: "int8", 9: "uint8", 10: "int16", 11: "uint16", 12: "int32", 13: "uint32", 14: "int64",
    15: "uint64", 16: "function", 17: "opaque",
}  # fmt: skip


@dataclass(frozen=True)
class Header:
    """A variable: its name, shape, MATLAB class, and whether it is complex. An opaque variable (a
    string, a table, an object) has no shape; its class is the one that its element names."""

    name: str
    shape: tuple[int, ...]
    kind: str
    is_complex: bool = False


def headers(path: Path) -> Iterator[Header]:
    """The headers of all variables.

    Raises:
        ValueError: the file ends within a variable, or a header cannot be parsed.
    """
    size, position = path.stat().st_size, 128
    with path.open("rb") as file:
        file.seek(position - 2)
        order = "<" if file.read(2) == b"IM" else ">"
        while position + 8 <= size:
            file.seek(position)
            kind, length = struct.unpack(f"{order}II", file.read(8))
            position += 8 + length
            if position > size:
                raise ValueError(
                    f"{path} is a damaged MATLAB file: {position - size} bytes are missing at its "
                    f"end. Copy or download it again."
                )
            try:
                header = _header(kind, file.read(min(length, _HEADER_BYTES)), order)
            except (struct.error, zlib.error, UnicodeDecodeError, IndexError) as error:
                raise ValueError(
                    f"{path} is a damaged MATLAB file: the header of the variable before byte "
                    f"{position} cannot be parsed ({error}). Copy or download it again."
                ) from None
            if header is not None:
                yield header


def _header(kind: int, data: bytes, order: str) -> Header | None:
    """The header of one element; None for an element without a name, such as MATLAB's own store
    of the content of strings and objects."""
    if kind == _COMPRESSED:
        data = zlib.decompressobj().decompress(data, _HEADER_BYTES)
        (kind,) = struct.unpack_from(f"{order}I", data)
        data = data[8:]
    if kind != _MATRIX or not data:
        return None
    parts = _elements(data, order)
    (flags,) = struct.unpack_from(f"{order}I", next(parts))
    code = flags & 0xFF
    if code == 17:  # no dimensions; then the name, the class system and the class
        name, _, cls = (next(parts).decode() for _ in range(3))
        return Header(name, (), cls or "opaque") if name else None
    dimensions = next(parts)
    shape = struct.unpack(f"{order}{len(dimensions) // 4}i", dimensions)
    name = next(parts).decode()
    text = _CLASSES.get(code, f"number {code}")
    text = "logical" if flags & _LOGICAL_FLAG and text != "sparse" else text
    return Header(name, shape, text, bool(flags & _COMPLEX_FLAG)) if name else None


def _elements(data: bytes, order: str) -> Iterator[bytes]:
    """The data of the elements one after the other; small ones (up to 4 bytes) hold their length in
    the upper half of the type."""
    position = 0
    while True:
        first, length = struct.unpack_from(f"{order}II", data, position)
        if first >> 16:
            yield data[position + 4 : position + 4 + (first >> 16)]
            position += 8
        else:
            yield data[position + 8 : position + 8 + length]
            position += 8 + length + -length % 8
