"""Values compressed with Zstandard (RFC 8878) where that makes them shorter.

>>> SqlStorage(url, transforms=[Compression()])
>>> SqlStorage(url, transforms=[Compression(), Encryption(keys)])  # in this order: ciphertext does not shrink
"""

from __future__ import annotations

import sys
from typing import ClassVar, Final

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from eliza_state.storage.encoding import Transform
from eliza_state.storage.errors import DamagedValue

MAX_BYTES: Final = 64 * 1024 * 1024
"""How long a value may be unless told otherwise."""
_WINDOW_LOGS: Final = (10, 27)


class Compression(Transform):
    """Compress what is at least `threshold_bytes` long and gets shorter by it; the rest stays as it is.

    `level` is Zstandard's: 3 is fast, 19 is small, negative ones are faster still. What would take more than
    `max_bytes` when it is read is refused with `DamagedValue`, however short it is stored; what is longer is
    stored without compression. Checksums tell damaged content.
    """

    name: ClassVar[str] = "zstd"

    def __init__(self, *, threshold_bytes: int = 512, level: int = 3, max_bytes: int = MAX_BYTES) -> None:
        parameter = zstd.CompressionParameter
        lowest, highest = parameter.compression_level.bounds()
        if not lowest <= level <= highest:
            raise ValueError(f"expected a level from {lowest} to {highest}, got {level!r}")
        if threshold_bytes < 0 or max_bytes < 1:
            raise ValueError(f"expected sizes in bytes, got {threshold_bytes!r} and {max_bytes!r}")
        self._threshold_bytes = threshold_bytes
        self._max_bytes = max_bytes
        self._options: dict[int, int] = {parameter.compression_level: level, parameter.checksum_flag: 1}
        # A frame also says how much memory its window needs: no more than its content, when it is ours.
        least, most = _WINDOW_LOGS
        window_log = min(most, max(least, max_bytes.bit_length()))
        self._bounds: dict[int, int] = {zstd.DecompressionParameter.window_log_max: window_log}

    def seal(self, content: bytes, *, key: str) -> bytes | None:
        if not self._threshold_bytes <= len(content) <= self._max_bytes:
            return None
        sealed = zstd.compress(content, options=self._options)
        return sealed if len(sealed) + len(self.name) + 1 < len(content) else None

    def unseal(self, content: bytes, *, key: str) -> bytes:
        frame = zstd.ZstdDecompressor(options=self._bounds)
        try:
            unsealed = frame.decompress(content, self._max_bytes + 1)
        except zstd.ZstdError as error:
            raise DamagedValue(key, f"its compressed content is damaged: {error}") from error
        if len(unsealed) > self._max_bytes:
            raise DamagedValue(key, f"it takes more than {self._max_bytes} bytes when it is decompressed")
        if not frame.eof or frame.unused_data:
            raise DamagedValue(key, "its compressed content is damaged: it does not end where it should")
        return unsealed
