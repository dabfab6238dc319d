"""Variables of a MATLAB file of version 5 to 7, from their headers alone.

scipy's `whosmat` fails on a file with one variable of a class that it does not know, such as a
MATLAB string. The format is that of "MAT-File Format" (The MathWorks, chapter 1): a header of 128
bytes, then one element for each variable, a tag of 8 bytes (type, length) and its data. A
compressed element (type 15) holds such an element in zlib's format.
"""

import math
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


# The codes of types of numbers as they are stored, which may be narrower than those of the class.
_TYPES = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip


@dataclass(frozen=True)
class Header:
    """A variable: its name, shape, MATLAB class, and whether it is complex. An opaque variable (a
    string, a table, an object) has no shape; its class is the one that its element names.

    Attributes:
        offset, stored: position of its numbers in the file, and their type as they are stored; None
            and "" if they are compressed, or no numbers.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    is_complex: bool = False
    offset: int | None = None
    stored: str = ""


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
            start = position + 8
            position = start + length
            if position > size:
                raise ValueError(
                    f"{path} is a damaged MATLAB file: {position - size} bytes are missing at its "
                    f"end. Copy or download it again."
                )
            try:
                header = _header(kind, file.read(min(length, _HEADER_BYTES)), order, start)
            except (struct.error, zlib.error, ValueError, IndexError) as error:
                raise ValueError(
                    f"{path} is a damaged MATLAB file: the header of the variable before byte "
                    f"{position} cannot be parsed ({error}). Copy or download it again."
                ) from None
            if header is not None:
                yield header


def _header(kind: int, data: bytes, order: str, start: int) -> Header | None:
    """The header of one element whose data begin at `start` in the file; None for an element
    without a name, such as MATLAB's own store of the content of strings and objects."""
    compressed = kind == _COMPRESSED
    if compressed:
        data = zlib.decompressobj().decompress(data, _HEADER_BYTES)
        (kind,) = struct.unpack_from(f"{order}I", data)
        data = data[8:]
    if kind != _MATRIX or not data:
        return None
    parts = _elements(data, order)
    (flags,) = struct.unpack_from(f"{order}I", next(parts).data)
    code = flags & 0xFF
    if code == 17:  # no dimensions; then the name, the class system and the class
        name, _, cls = (next(parts).data.decode() for _ in range(3))
        return Header(name, (), cls or "opaque") if name else None
    dimensions = next(parts).data
    shape = struct.unpack(f"{order}{len(dimensions) // 4}i", dimensions)
    name = next(parts).data.decode()
    text = _CLASSES.get(code, f"number {code}")
    text = "logical" if flags & _LOGICAL_FLAG and text != "sparse" else text
    if not name:
        return None
    is_complex = bool(flags & _COMPLEX_FLAG)
    if not 6 <= code <= 15 or 0 in shape:
        return Header(name, shape, text, is_complex)
    numbers = next(parts)
    stored = _TYPES.get(numbers.kind, "")
    # scipy does not check the type: a wrong one ends the process.
    if not stored or numbers.length != math.prod(shape) * int(stored[1:]):
        raise ValueError(
            f"{name!r} of shape {shape} has {numbers.length} bytes of numbers of type "
            f"{numbers.kind}"
        )
    if compressed or is_complex:
        return Header(name, shape, text, is_complex)
    return Header(name, shape, text, False, start + numbers.start, f"{order}{stored}")


@dataclass(frozen=True)
class _Element:
    """Type, position and length of an element's data, and the part of them that was read."""

    kind: int
    start: int
    length: int
    data: bytes


def _elements(data: bytes, order: str) -> Iterator[_Element]:
    """The elements one after the other; small ones (up to 4 bytes) hold their length in
    the upper half of the type."""
    position = 0
    while True:
        first, length = struct.unpack_from(f"{order}II", data, position)
        if first >> 16:
            kind, start, length = first & 0xFFFF, position + 4, first >> 16
            yield _Element(kind, start, length, data[start : start + length])
            position += 8
        else:
            start = position + 8
            yield _Element(first, start, length, data[start : start + length])
            position += 8 + length + -length % 8
