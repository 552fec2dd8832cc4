"""What a file is read for; each purpose has its own list of folders."""

from __future__ import annotations

from enum import StrEnum


class Purpose(StrEnum):
    """Why a file is opened.

    Of an image only pixels leave this machine, so its list may be wide; text and uploads leave as they are.
    """

    IMAGE = "image"
    TEXT = "text"
    UPLOAD = "upload"

    @property
    def setting(self) -> str:
        """Name of the field of `ReadSettings` that lists its folders."""
        return f"{self.value}_folders"
