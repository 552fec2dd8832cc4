"""The chunked framing of a response's body (RFC 9112, 7.1), read without a state machine for each chunk.

A streamed answer is a chunk for each token, so that what a chunk costs is what a token costs. Only whole and plain
chunks are taken: what is out of the ordinary is left to h11, always from the beginning of a chunk.
"""

from __future__ import annotations

_LINE_END = b"\r\n"
# Larger ones are read in pieces by h11.
_MAX_CHUNK = 2**16
_HEX_DIGITS = frozenset(b"0123456789abcdefABCDEF")
_MAX_DIGITS = 6
READ_BYTES = 65_536


class ChunkReader:
    """Takes whole chunks from the bytes of a body."""

    def __init__(self) -> None:
        self._data = b""
        self.is_over = False

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes, and return the content of the chunks that they complete.

        Sets `is_over` where the end comes, or something that is not a plain chunk; `take_rest` gives it.
        """
        data = self._data + data
        parts: list[bytes] = []
        place = 0
        while (line_end := data.find(_LINE_END, place)) > place:
            digits = data[place:line_end]
            if len(digits) > _MAX_DIGITS or not _HEX_DIGITS.issuperset(digits):
                self.is_over = True
                break
            size = int(digits, 16)
            begin = line_end + 2
            end = begin + size
            if not size or size > _MAX_CHUNK or (len(data) >= end + 2 and data[end : end + 2] != _LINE_END):
                self.is_over = True
                break
            if len(data) < end + 2:
                break
            parts.append(data[begin:end])
            place = end + 2
        else:
            # A line that is empty, or longer than any size.
            self.is_over = line_end == place or len(data) - place > _MAX_DIGITS + 1
        self._data = data[place:]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def take_rest(self) -> bytes:
        """What was fed and not returned."""
        rest, self._data = self._data, b""
        return rest
