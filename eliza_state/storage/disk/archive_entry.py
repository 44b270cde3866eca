"""One entry of an archive as a file.

    magic (8 bytes) · format (1) · length of the header (4) · checksum of the header (8)
    header: JSON, `{"key":…,"version":…,"size_bytes":…,"stored_bytes":…,"deadline_ms":…,"ttl_ms":…,"gone":…}`
    content, compressed with Zstandard (RFC 8878)
    checksum of all that (16)

Numbers are big-endian, checksums BLAKE2b (RFC 7693) of the length that they have. The header has its own, so
that it can be trusted without reading the rest. As in PNG, the magic has a byte that is no text and ends of
lines that a careless copy would change.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from collections.abc import Callable
from typing import Final

import msgspec

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from eliza_state.storage.backend import Mark
from eliza_state.storage.errors import InvalidKey

FORMAT: Final = 1
"""The version of the format that is written; later ones are refused."""
START_BYTES: Final = 8_192
"""How much of a file to read for its header: the longest one, with what comes before it."""

_MAGIC: Final = b"\x93ELZ\r\n\x1a\n"
_PREFIX: Final = struct.Struct(">8sBI8s")
_SUM_BYTES: Final = 16
_WINDOW_LOGS: Final = (10, 27)


class Unreadable(ValueError):
    """The file is no entry, or one that was damaged; the message says how it shows."""


class LaterFormat(ValueError):
    """The file was written by a later version than this one."""


class Header(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a file says of its entry; the sizes are those of its content, as it is and compressed."""

    key: str
    version: int
    size_bytes: int = 0
    stored_bytes: int = 0
    deadline_ms: int | None = None
    ttl_ms: int | None = None
    gone: bool = False

    @property
    def mark(self) -> Mark:
        """Version and times of the entry."""
        return Mark(self.version, self.deadline_ms, self.ttl_ms, self.gone)

    def rolled_on(self, now_ms: int) -> Header:
        """Return the header with its deadline rolled on by its duration."""
        assert self.ttl_ms is not None
        return msgspec.structs.replace(self, deadline_ms=now_ms + self.ttl_ms)


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Header).decode


def place_of(key: str) -> tuple[str, str]:
    """Return the names of the folder and the file of a key: its BLAKE2b of 128 bits in hexadecimal."""
    digest = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
    return digest[:2], digest[2:]


def pack(header: Header, stored: bytes) -> bytes:
    """Return the file of an entry. Raises `InvalidKey` for a key that is too long for it."""
    written = _encode(header)
    if _PREFIX.size + len(written) > START_BYTES:
        raise InvalidKey(f"a key takes at most 2048 bytes in UTF-8, got {header.key[:40]!r}…")
    content = b"%b%b%b" % (
        _PREFIX.pack(_MAGIC, FORMAT, len(written), _header_sum(written)),
        written,
        stored,
    )
    return content + _sum(content)


def read_header(start: bytes) -> tuple[Header, int]:
    """Return the header that a file begins with, and where it ends.

    Raises `Unreadable` and `LaterFormat`.
    """
    if len(start) < _PREFIX.size:
        raise Unreadable(f"it has only {len(start)} bytes")
    magic, form, length, digest = _PREFIX.unpack_from(start)
    if magic != _MAGIC:
        raise Unreadable("it does not begin as an entry does")
    if form > FORMAT:
        raise LaterFormat(f"it has format {form}, later than {FORMAT}: read it with what wrote it")
    end = _PREFIX.size + length
    written = start[_PREFIX.size : end]
    if _header_sum(written) != digest:
        raise Unreadable("its header does not match its checksum")
    try:
        return _decode(written), end
    except msgspec.DecodeError as error:
        raise Unreadable(f"its header cannot be read: {error}") from None


def read_whole(read: Callable[[int], bytes]) -> tuple[Header, bytes]:
    """Return the header and the compressed content of a file, both verified.

    `read` returns what the file begins with, up to so many bytes. Raises what `read_header` raises.
    """
    limit = START_BYTES
    while True:
        content = read(limit)
        header, end = read_header(content)
        whole = end + header.stored_bytes + _SUM_BYTES
        if len(content) < limit or limit > whole:
            break
        limit = whole + 1  # one more, to see what is too long; the next file of that name may be longer again
    if len(content) != whole:
        raise Unreadable(f"it has {'more' if len(content) > whole else 'less'} than its {whole} bytes")
    if _sum(content[:-_SUM_BYTES]) != content[-_SUM_BYTES:]:
        raise Unreadable("its content does not match its checksum")
    return header, content[end:-_SUM_BYTES]


def compress(content: bytes, *, level: int) -> bytes:
    """Return content as it is stored."""
    return zstd.compress(content, level)


def check_level(level: int) -> int:
    """Return a level of compression if there is one; else raise `ValueError`."""
    lowest, highest = zstd.CompressionParameter.compression_level.bounds()
    if not lowest <= level <= highest:
        raise ValueError(f"expected a level from {lowest} to {highest}, got {level!r}")
    return level


def decompress(header: Header, stored: bytes) -> bytes:
    """Return content as it was. Raises `Unreadable` for what has another size than its header says."""
    least, most = _WINDOW_LOGS
    window_log = min(most, max(least, header.size_bytes.bit_length()))
    frame = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: window_log})
    try:
        content = frame.decompress(stored, header.size_bytes + 1)
    except zstd.ZstdError as error:
        raise Unreadable(f"its content cannot be decompressed: {error}") from None
    if len(content) != header.size_bytes or not frame.eof or frame.unused_data:
        raise Unreadable(f"its content does not have the {header.size_bytes} bytes that its header says")
    return content


def _header_sum(written: bytes) -> bytes:
    return hashlib.blake2b(written, digest_size=8).digest()


def _sum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_SUM_BYTES).digest()
