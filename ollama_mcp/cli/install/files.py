"""Another program's configuration file: read whole, replaced whole, with a copy of what was there."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ollama_mcp.errors import DiskError

BACKUP_SUFFIX = ".before-ollama-mcp"
_MAX_BYTES = 20_000_000


@dataclass(frozen=True)
class ConfigFile:
    """A file as it was read.

    Args:
        path: Where the host looks for it.
        content: Its bytes; None where it does not exist.
    """

    path: Path
    content: bytes | None

    @classmethod
    def read(cls, path: Path) -> ConfigFile:
        """Read it.

        Raises:
            DiskError: It is there and cannot be read, or is no regular file.
        """
        try:
            if not path.exists():
                if path.is_symlink():
                    raise DiskError(f"{str(path)!r} is a link to nothing.", next_step="Remove the link or mend it.")
                return cls(path, None)
            if not path.is_file() or path.stat().st_size > _MAX_BYTES:
                raise DiskError(f"{str(path)!r} is no configuration file.", next_step="Name the right one by --file.")
            return cls(path, path.read_bytes())
        except OSError as error:
            raise _failed("read", path, error) from None

    @property
    def text(self) -> str:
        """Its text, line ends and byte order mark included; "" where it does not exist.

        Raises:
            DiskError: It is not UTF-8.
        """
        try:
            return (self.content or b"").decode()
        except UnicodeDecodeError:
            raise DiskError(
                f"{str(self.path)!r} is not UTF-8, so it is left as it is.", next_step="Save it as UTF-8."
            ) from None

    def check_writable(self) -> None:
        """Check what a replacement would not meet: in a folder that can be written, a read-only file can be replaced.

        Raises:
            DiskError: The file is read-only.
        """
        if self.content is not None and not (
            os.stat(self.path).st_mode & stat.S_IWUSR and os.access(self.path, os.W_OK)
        ):
            raise _failed("written", self.path, PermissionError(13, "it is read-only"))

    def keep(self) -> Path | None:
        """Make a copy of it beside it; None where there is nothing to copy.

        Raises:
            DiskError: It cannot be made.
        """
        if self.content is None:
            return None
        # The folder of a link's target, so that a replacement is within one file system.
        target = Path(os.path.realpath(self.path))
        backup = target.with_name(target.name + BACKUP_SUFFIX)
        try:
            _write(backup, self.content, stat.S_IMODE(target.stat().st_mode))
        except OSError as error:
            raise _failed("written", self.path, error) from None
        return backup

    def replace(self, text: str, *, is_kept: bool = False) -> Path | None:
        """Replace it at once and completely; a link goes on to point to it.

        Args:
            text: Its new text.
            is_kept: Whether there is a copy already.

        Returns:
            The copy of what was there before; None where there was nothing.

        Raises:
            DiskError: It cannot be written, or was changed since it was read; it is as it was.
        """
        if ConfigFile.read(self.path).content != self.content:
            raise DiskError(f"{str(self.path)!r} was changed just now.", next_step="Try again.")
        self.check_writable()
        backup = None if is_kept else self.keep()
        target = Path(os.path.realpath(self.path))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _write(target, text.encode(), 0o600 if self.content is None else stat.S_IMODE(target.stat().st_mode))
        except OSError as error:
            raise _failed("written", self.path, error) from None
        return backup


def _write(target: Path, content: bytes, mode: int) -> None:
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with open(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, mode)
        os.replace(name, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _failed(verb: str, path: Path, error: OSError) -> DiskError:
    return DiskError(
        f"{str(path)!r} cannot be {verb}: {error.strerror or error}; nothing was changed.",
        next_step="Allow it, or add what `install --print` shows by hand.",
    )
