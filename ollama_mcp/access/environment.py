"""The facts about this process and its client on which the access rules depend."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass

from ollama_mcp._paths import own_checkout
from ollama_mcp.access.descriptors import canonical_folder
from ollama_mcp.access.folders import is_hidden, is_inside, is_project, is_too_broad


@dataclass(frozen=True, slots=True)
class RuntimeEnvironment:
    """Where this process runs, for which user, and how its client is connected.

    Args:
        home: The user's home folder.
        working_folder: The folder the server was started in.
        temp_folders: Folders for temporary files, which other users of the machine may share.
        roots: Paths of the folders that a client on stdio declared.
        over_http: Whether the call came by an HTTP transport.
        has_token: Whether that HTTP client presented a valid token.
        server_checkout: The checkout that this server runs from, or "". It is not the user's project, although hosts
            start the server there.
    """

    home: str
    working_folder: str
    temp_folders: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    over_http: bool = False
    has_token: bool = False
    server_checkout: str = ""

    @classmethod
    def current(cls) -> RuntimeEnvironment:
        """Return the environment of the running process, with a client on stdio that declared no roots."""
        # `gettempdir` follows $TMPDIR, so it need not be /tmp.
        temp_folders = dict.fromkeys((tempfile.gettempdir(), *(("/tmp",) if os.name == "posix" else ())))
        return cls(
            home=os.path.expanduser("~"),
            working_folder=os.getcwd(),
            temp_folders=tuple(temp_folders),
            server_checkout=str(own_checkout() or ""),
        )

    @property
    def real_home(self) -> str:
        """The real path of home, or `home` itself where it cannot be opened."""
        return canonical_folder(self.home) or self.home

    def expand_home(self, folder: str) -> str:
        """Return a folder named in the settings with a leading `~` replaced by home."""
        if folder == "~" or folder[:2] in ("~/", "~\\"):
            return os.path.join(self.home, folder[2:])
        return folder

    def usable_roots(self) -> list[str]:
        """Return the real paths of the client's roots, without those that are gone or too broad to be meant."""
        home = self.real_home
        folders = [canonical_folder(root) for root in self.roots]
        return [folder for folder in folders if folder is not None and not is_too_broad(folder, home)]

    def usable_working_folder(self, *, needs_project: bool) -> str | None:
        """Return the real path of the working folder where the user can be taken to have chosen it, else None.

        It must be neither too broad, nor hidden below home, nor in the server's own checkout; with `needs_project`, it
        must be part of a project.
        """
        home = self.real_home
        folder = canonical_folder(self.working_folder)
        if folder is None or is_too_broad(folder, home):
            return None
        if is_inside(folder, home) and is_hidden(folder, home, home):
            return None
        if self.server_checkout and is_inside(folder, canonical_folder(self.server_checkout) or self.server_checkout):
            return None
        return folder if not needs_project or is_project(folder, home) else None
