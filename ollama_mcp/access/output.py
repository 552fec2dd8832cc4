"""The only code that writes results: whole or not at all, and nowhere else than where it was judged."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from types import TracebackType

from ollama_mcp.access.file_names import check_name
from ollama_mcp.access.handles import open_folder, path_of_descriptor
from ollama_mcp.access.rules import AccessRules
from ollama_mcp.access.spelling import absolute_path
from ollama_mcp.access.surroundings import is_inside
from ollama_mcp.access.wording import quoted, shortened
from ollama_mcp.access.writable import WriteRules, outside, own_folder
from ollama_mcp.errors import DiskError, InvalidArgument, NotAllowed

_NEW_FILE = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOINHERIT", 0)
)
_BUFFER = 1 << 20
_BY_DESCRIPTOR = os.open in os.supports_dir_fd
# FAT and some network disks have no hard links.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_FOLLOW = os.link not in os.supports_follow_symlinks


class Output:
    """A file that is yet to be written; a context manager that lets go of its folder.

    Args:
        path: Its real absolute path.
        folder: Descriptor of its folder; None where the system has none (Windows), names then serve.
        overwrite: Whether what bears its name may be replaced.
    """

    def __init__(self, path: str, folder: int | None, *, overwrite: bool) -> None:
        self.path = path
        self._folder_path, self._name = os.path.split(path)
        self._folder = folder
        self._overwrite = overwrite

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder; what was not written then never is."""
        folder, self._folder = self._folder, None
        if folder is not None:
            os.close(folder)

    def write(self, chunks: Iterable[bytes]) -> int:
        """Write the file: all of it under its name, or nothing. It does disk work and belongs in a thread.

        Returns:
            How many bytes were written.

        Raises:
            NotAllowed: Another file took the name meanwhile, and may not be replaced.
            DiskError: The disk is full, the folder was moved or removed, or the system would not write.
        """
        temporary = f".ollama-mcp-{os.urandom(8).hex()}.part"
        try:
            self._check_folder()
            descriptor = os.open(self._at(temporary), _NEW_FILE, 0o600, dir_fd=self._folder)
            try:
                written = _pour(descriptor, chunks)
                self._check_folder()
                self._give_name(temporary)
            except BaseException:
                self._remove(temporary)
                raise
            self._make_lasting()
        except FileExistsError:
            raise taken(self.path) from None
        except OSError as error:
            raise not_written(self.path, error) from error
        return written

    def check_free(self) -> None:
        """Refuse early what writing would refuse in the end.

        Raises:
            InvalidArgument: A folder has that name.
            NotAllowed: A file has it and may not be replaced, or what has it is no ordinary file.
            DiskError: The folder cannot be written to.
        """
        try:
            if not os.access(self._at(os.curdir), os.W_OK | os.X_OK, dir_fd=self._folder):
                raise PermissionError(0, "its folder cannot be written to")
            status = os.stat(self._at(self._name), dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return
        except OSError as error:
            raise not_written(self.path, error) from error
        if stat.S_ISDIR(status.st_mode):
            raise InvalidArgument(f"{quoted(self.path)} is a folder.", next_step="Give the name of a file in it.")
        if not self._overwrite:
            raise taken(self.path)
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISLNK(status.st_mode):
            raise NotAllowed(
                f"{quoted(self.path)} is a pipe, a socket or a device, which is not replaced.",
                next_step="Give another name.",
            )

    def _at(self, name: str) -> str:
        """Spell a name for the calls that take the folder's descriptor, or the whole path where there is none."""
        return name if self._folder is not None else os.path.join(self._folder_path, name)

    def _check_folder(self) -> None:
        """Make sure that the folder is where it was judged: nothing is written to where it was moved."""
        if self._folder is not None and path_of_descriptor(self._folder) != self._folder_path:
            raise OSError(0, "its folder was moved or removed meanwhile")

    def _give_name(self, temporary: str) -> None:
        source, target, folder = self._at(temporary), self._at(self._name), self._folder
        if self._overwrite:
            os.replace(source, target, src_dir_fd=folder, dst_dir_fd=folder)
            return
        try:
            os.link(source, target, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=_FOLLOW)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self._give_name_without_link(source, target)
        else:
            self._remove(temporary)

    def _give_name_without_link(self, source: str, target: str) -> None:
        # The name is taken by an empty file first, and that one replaced.
        folder = self._folder
        os.close(os.open(target, _NEW_FILE, 0o600, dir_fd=folder))
        try:
            os.replace(source, target, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(target, dir_fd=folder)
            raise

    def _remove(self, temporary: str) -> None:
        with suppress(OSError):
            os.unlink(self._at(temporary), dir_fd=self._folder)

    def _make_lasting(self) -> None:
        # The file has its name already; a disk that cannot sync a folder takes nothing away from that.
        if self._folder is not None:
            with suppress(OSError):
                os.fsync(self._folder)


def prepare_output(
    text: str, suffixes: Sequence[str], rules: AccessRules, writing: WriteRules, *, overwrite: bool = False
) -> Output:
    """Judge where results are to be written, before the work that makes them. It belongs in a thread.

    The folder is judged by its descriptor, which `Output` keeps: no link and no race leads elsewhere afterwards.

    Args:
        text: An absolute path, `~/...` or a `file://` URI; a relative path or bare name starts from the first folder
            that may be written to. Its folder must exist; only ~/ollama-mcp itself is made.
        suffixes: Endings that the name may have, such as ".jsonl".
        rules: The rules of the client.
        writing: What may be written.
        overwrite: Whether a file of that name may be replaced; of a link, the link is, not what it leads to.

    Raises:
        InvalidArgument: The name is none, its ending is another, or its folder does not exist.
        NotAllowed: The rules forbid it, or the file exists.
        DiskError: The folder cannot be opened or written to.
    """
    writing.check_asked(text, rules)
    check_name(text, suffixes)
    folders = writing.folders(rules.facts)
    if not folders:
        raise outside(text, folders)
    path = absolute_path(text, rules.facts.home, folders[0])
    # Once more for what a file: URI had in codes.
    check_name(path, suffixes)
    try:
        return _prepared(path, rules, writing, overwrite=overwrite)
    except OSError as error:
        # A folder that is swapped while its path is followed.
        raise not_written(path, error) from error


def _prepared(path: str, rules: AccessRules, writing: WriteRules, *, overwrite: bool) -> Output:
    folder, name = os.path.split(path)
    folder = os.path.realpath(folder)
    # A first judgement by name: whether a folder outside exists does not show.
    writing.judge(os.path.join(folder, name), rules, asked=path)
    own = own_folder(rules.facts)
    if is_inside(folder, own) and own in writing.folders(rules.facts):
        _make(own)
    descriptor, real = _opened(folder)
    output = Output(os.path.join(real, name), descriptor, overwrite=overwrite)
    try:
        writing.judge(output.path, rules, asked=path)
        output.check_free()
    except BaseException:
        output.close()
        raise
    return output


def _opened(folder: str) -> tuple[int | None, str]:
    """Open a folder; return its descriptor, where the system has one, and its real path."""
    try:
        if not _BY_DESCRIPTOR:
            if not os.path.isdir(folder):
                raise FileNotFoundError
            return None, os.path.realpath(folder, strict=True)
        descriptor = open_folder(folder)
        try:
            return descriptor, path_of_descriptor(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
    except (FileNotFoundError, NotADirectoryError):
        raise _no_folder(folder) from None


def _no_folder(folder: str) -> InvalidArgument:
    closest = folder
    while not os.path.isdir(closest):
        closest = os.path.dirname(closest)
    return InvalidArgument(
        f"There is no folder {quoted(folder)}; folders are not made.",
        next_step=f"The closest that exists is {quoted(closest)}; make the folder first, or give a file there.",
    )


def _make(folder: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)


def _pour(descriptor: int, chunks: Iterable[bytes]) -> int:
    written = 0
    with io.BufferedWriter(io.FileIO(descriptor, "wb"), _BUFFER) as stream:
        for chunk in chunks:
            written += stream.write(chunk)
        stream.flush()
        os.fsync(descriptor)
    return written


def taken(path: str) -> NotAllowed:
    """Return the error for a name that something has already."""
    return NotAllowed(
        f"{quoted(path)} exists already and is not replaced unasked.",
        next_step="Give another name, or overwrite: true.",
    )


def not_written(path: str, error: OSError) -> DiskError:
    """Return the error for what the system would not do."""
    return DiskError(
        f"{quoted(path)} could not be written: {shortened(error.strerror or type(error).__name__)}.",
        next_step="Check the folder, its rights and the space on the disk. Nothing was left there.",
    )
