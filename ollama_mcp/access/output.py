"""Writes results: completely or not at all, and only in the folder that was checked."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from types import TracebackType

from ollama_mcp.access.descriptors import NEW_FILE, open_folder, path_of_descriptor
from ollama_mcp.access.folders import is_inside
from ollama_mcp.access.path_syntax import absolute_path
from ollama_mcp.access.quoting import quoted, shortened
from ollama_mcp.access.read_rules import ReadRules
from ollama_mcp.access.similar_names import existing_path
from ollama_mcp.access.write_rules import WriteRules, check_output_name, default_folder, outside_error
from ollama_mcp.errors import DiskError, InvalidArgument, NotAllowed

_BUFFER_BYTES = 1 << 20
_HAS_DIR_FD = os.open in os.supports_dir_fd
# What `os.link` answers on FAT and some network file systems, which have no hard links.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_LINK_FOLLOWS = os.link not in os.supports_follow_symlinks


class Output:
    """A file to be written; a context manager that releases its folder.

    Args:
        path: Its real absolute path.
        folder: Descriptor of its folder; None on Windows, which has none, so paths are used instead.
        overwrite: Whether an existing file of that name may be replaced.
        again: Whether an earlier process may have written it already: a file of the same content is then left alone.
    """

    def __init__(self, path: str, folder: int | None, *, overwrite: bool, again: bool = False) -> None:
        self.path = path
        self._folder_path, self._name = os.path.split(path)
        self._folder = folder
        self._overwrite, self._again = overwrite, again

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the folder; do not call `write` afterwards."""
        folder, self._folder = self._folder, None
        if folder is not None:
            os.close(folder)

    def write(self, chunks: Iterable[bytes]) -> int:
        """Write the file completely or not at all. Does disk work: call it in a thread.

        Returns:
            The number of bytes written.

        Raises:
            InvalidArgument: A file of that name was created meanwhile and may not be replaced.
            DiskError: The disk is full, the folder was moved or removed, or the system refused to write.
        """
        # In the same folder, since a file cannot be renamed across file systems.
        temporary = f".ollama-mcp-{os.urandom(8).hex()}.part"
        try:
            self._check_folder()
            descriptor = os.open(self._at(temporary), NEW_FILE, 0o600, dir_fd=self._folder)
            try:
                written = _write_chunks(descriptor, chunks)
                # Producing the chunks takes time, in which the folder may have been moved.
                self._check_folder()
                if self._again and self._has_content_of(temporary):
                    self._remove(temporary)
                else:
                    self._publish(temporary)
            except BaseException:
                self._remove(temporary)
                raise
            self._sync_folder()
        except FileExistsError:
            raise _made_meanwhile(self.path) from None
        except OSError as error:
            raise _write_failed(self.path, error) from error
        return written

    def check_writable(self) -> None:
        """Refuse before the work what `write` would refuse after it.

        Raises:
            InvalidArgument: A folder has that name, or a file that may not be replaced.
            NotAllowed: What has that name is not a regular file.
            DiskError: The folder cannot be written to.
        """
        try:
            if not os.access(self._at(os.curdir), os.W_OK | os.X_OK, dir_fd=self._folder):
                raise PermissionError(0, "its folder cannot be written to")
            status = os.stat(self._at(self._name), dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _write_failed(self.path, error) from error
        if stat.S_ISDIR(status.st_mode):
            raise InvalidArgument(f"{quoted(self.path)} is a folder.", next_step="Give the name of a file in it.")
        if not self._overwrite and not self._again:
            raise _already_exists(self.path)
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISLNK(status.st_mode):
            raise NotAllowed(
                f"{quoted(self.path)} is a pipe, a socket or a device, which is not replaced.",
                next_step="Give another name.",
            )

    def _at(self, name: str) -> str:
        """Return a name for calls with `dir_fd`, or the whole path where there is no descriptor."""
        return name if self._folder is not None else os.path.join(self._folder_path, name)

    def _check_folder(self) -> None:
        """Fail if the folder is no longer where it was checked: its new place may not be written to."""
        if self._folder is not None and path_of_descriptor(self._folder) != self._folder_path:
            raise OSError(0, "its folder was moved or removed meanwhile")

    def _publish(self, temporary: str) -> None:
        """Give the complete file its name, atomically."""
        source, target, folder = self._at(temporary), self._at(self._name), self._folder
        if self._overwrite:
            os.replace(source, target, src_dir_fd=folder, dst_dir_fd=folder)
            return
        # `os.rename` would replace a file created meanwhile; a hard link fails then.
        try:
            os.link(source, target, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=_LINK_FOLLOWS)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self._publish_without_link(source, target)
        else:
            self._remove(temporary)

    def _publish_without_link(self, source: str, target: str) -> None:
        # An empty file reserves the name (O_EXCL); then it is replaced.
        folder = self._folder
        os.close(os.open(target, NEW_FILE, 0o600, dir_fd=folder))
        try:
            os.replace(source, target, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(target, dir_fd=folder)
            raise

    def _has_content_of(self, temporary: str) -> bool:
        try:
            with ExitStack() as opened:
                files = [opened.enter_context(self._open_to_read(name)) for name in (self._name, temporary)]
                if len({os.fstat(file.fileno()).st_size for file in files}) > 1:
                    return False
                while chunk := files[0].read(_BUFFER_BYTES):
                    if chunk != files[1].read(_BUFFER_BYTES):
                        return False
        except OSError:
            return False
        return True

    def _open_to_read(self, name: str) -> io.BufferedReader:
        # Not blocking: a pipe of that name is no file of ours.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        return io.BufferedReader(io.FileIO(os.open(self._at(name), flags, dir_fd=self._folder)))

    def _remove(self, temporary: str) -> None:
        with suppress(OSError):
            os.unlink(self._at(temporary), dir_fd=self._folder)

    def _sync_folder(self) -> None:
        # The file already has its name: not every file system can sync a folder, and that is not a failure.
        if self._folder is not None:
            with suppress(OSError):
                os.fsync(self._folder)


def prepare_output(
    text: str,
    suffixes: Sequence[str],
    rules: ReadRules,
    write_rules: WriteRules,
    *,
    overwrite: bool = False,
    again: bool = False,
) -> Output:
    """Check where results are to be written, before the work that produces them. Call it in a thread.

    The folder is opened and its descriptor checked. `Output` keeps the descriptor, so neither a link nor a race can
    lead elsewhere afterwards.

    Args:
        text: An absolute path, `~/...` or a `file://` URI; a relative path or bare name starts from the first folder
            that may be written to and has its folder. The folder must exist; only ~/ollama-mcp is created.
        suffixes: Endings that the name may have, such as ".jsonl".
        rules: The rules of the client.
        write_rules: What may be written.
        overwrite: Whether an existing file may be replaced; a symlink is replaced itself, not its target.
        again: Whether an earlier process may have written it already; see `Output`.

    Raises:
        InvalidArgument: The name is invalid, has another ending, or the file exists, or its folder does not.
        NotAllowed: The rules forbid it.
        DiskError: The folder cannot be opened or written to.
    """
    write_rules.check_enabled(text, rules)
    check_output_name(text, suffixes)
    folders = write_rules.folders(rules.environment)
    if not folders:
        raise outside_error(text, folders)
    paths = [(absolute_path(text, rules.environment.home, folder), folder) for folder in folders]
    # In each of these folders it may be known what exists; `..` may lead out of them.
    inside = (path for path, folder in paths if is_inside(path, folder) and os.path.isdir(os.path.dirname(path)))
    path = next(inside, paths[0][0])
    # Again, for percent-encoded characters of a file: URI.
    check_output_name(path, suffixes)
    try:
        return _prepare(path, rules, write_rules, overwrite=overwrite, again=again)
    except OSError as error:
        # A folder that is replaced while its path is resolved.
        raise _write_failed(path, error) from error


def _prepare(path: str, rules: ReadRules, write_rules: WriteRules, *, overwrite: bool, again: bool) -> Output:
    folder, name = os.path.split(path)
    folder = os.path.realpath(existing_path(folder, lambda: write_rules.checker(rules)))
    # A first check by path, so that an error never reveals whether a folder outside exists.
    write_rules.check(os.path.join(folder, name), rules, requested=path)
    default = default_folder(rules.environment)
    if is_inside(folder, default) and default in write_rules.folders(rules.environment):
        _make_folder(default)
    descriptor, real = _open_folder(folder)
    output = Output(os.path.join(real, name), descriptor, overwrite=overwrite, again=again)
    try:
        write_rules.check(output.path, rules, requested=path)
        output.check_writable()
    except BaseException:
        output.close()
        raise
    return output


def _open_folder(folder: str) -> tuple[int | None, str]:
    """Open a folder; return its descriptor, None where the system has none, and its real path."""
    try:
        if not _HAS_DIR_FD:
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
        raise _folder_not_found(folder) from None


def _folder_not_found(folder: str) -> InvalidArgument:
    closest = folder
    while not os.path.isdir(closest):
        closest = os.path.dirname(closest)
    return InvalidArgument(
        f"There is no folder {quoted(folder)}; folders are not created.",
        next_step=f"The closest existing folder is {quoted(closest)}; create the folder first, or give a file there.",
    )


def _make_folder(folder: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)


def _write_chunks(descriptor: int, chunks: Iterable[bytes]) -> int:
    written = 0
    with io.BufferedWriter(io.FileIO(descriptor, "wb"), _BUFFER_BYTES) as stream:
        for chunk in chunks:
            written += stream.write(chunk)
        stream.flush()
        # The content must be on the disk before the name is, or a crash could leave an empty file under it.
        os.fsync(descriptor)
    return written


def _already_exists(path: str) -> InvalidArgument:
    return InvalidArgument(
        f"{quoted(path)} already exists, and nothing was done.",
        next_step="Call again with overwrite: true to replace it, or with another name.",
    )


def _made_meanwhile(path: str) -> InvalidArgument:
    return InvalidArgument(
        f"{quoted(path)} was made by somebody else meanwhile, and is left as it is.",
        next_step="Call again with overwrite: true to replace it, or with another name.",
    )


def _write_failed(path: str, error: OSError) -> DiskError:
    return DiskError(
        f"{quoted(path)} could not be written: {shortened(error.strerror or type(error).__name__)}.",
        next_step="Check the folder, its permissions and the free space on the disk. Nothing was left there.",
    )
