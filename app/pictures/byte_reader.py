"""Reads a file's bytes in order. Whoever asks for more than there is holds no whole picture."""

from __future__ import annotations

import re

from app.domain.errors import NotAnImage

#: No program writes a picture of this many parts; walking through more of them only costs time.
MAX_PARTS = 50_000


class ByteReader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._position = 0
        self._parts = 0

    def take(self, size: int) -> bytes:
        """Return the next bytes. Raises NotAnImage where fewer are left."""
        taken = self._content[self._position : self._position + size]
        if len(taken) < size:
            raise truncated()
        self._position += size
        return taken

    def take_some(self, size: int) -> bytes:
        """Return the next bytes, or as many as are left."""
        taken = self._content[self._position : self._position + size]
        self._position += len(taken)
        return taken

    def number(self, size: int, order: str = "big") -> int:
        """Return the next bytes as an unsigned number; `order` is "big" or "little"."""
        return int.from_bytes(self.take(size), "big" if order == "big" else "little")

    def take_until(self, pattern: re.Pattern[bytes]) -> bytes:
        """Return the bytes before the pattern's next match. Raises NotAnImage where there is none."""
        match = pattern.search(self._content, self._position)
        if match is None:
            raise truncated()
        return self.take(match.start() - self._position)

    def take_blocks(self) -> bytes:
        """Return a GIF's next sub-blocks: each begins with its size, and an empty one ends them."""
        position, content = self._position, self._content
        try:
            while size := content[position]:
                position += size + 1
        except IndexError:
            raise truncated() from None
        return self.take(position + 1 - self._position)

    def count_part(self) -> None:
        """Note that one more part begins. Raises NotAnImage after too many."""
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise NotAnImage(f"The image has more than {MAX_PARTS} parts")


def truncated() -> NotAnImage:
    return NotAnImage("The image is truncated")


def damaged() -> NotAnImage:
    return NotAnImage("The image is damaged")


def hidden() -> NotAnImage:
    return NotAnImage("The file holds other data besides the image; save the image anew and send that")
