"""nginx in front of Ollama, or of replicas: the one on PATH, else the distribution's, kept in the user's cache."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from tests.faults.proxy import PortKeeper
from tests.installed import CACHE, unavailable
from tests.routers.program import running

# Debian's and Ubuntu's packages that have had the program.
_PACKAGES = ("nginx", "nginx-core", "nginx-light")
_TEMPORARY = "".join(
    f"{kind}_temp_path {{folder}}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)
# One process, which is the child that is ended, under the user of the tests.
_CONFIG = f"""
daemon off;
master_process off;
worker_processes 1;
pid {{folder}}/nginx.pid;
events {{{{ worker_connections 256; }}}}
http {{{{
access_log off;
{_TEMPORARY}
{{group}}
server {{{{
listen 127.0.0.1:{{port}} reuseport;
location / {{{{
proxy_pass {{upstream}};
{{directives}}
}}}}
}}}}
}}}}
"""
# A plain `proxy_pass`, which buffers answers and speaks HTTP/1.0 to Ollama; and what guides for LLMs recommend.
USUAL = ""
STREAMING = 'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; proxy_request_buffering off;'


@cache
def program() -> str:
    """The path of nginx; skips the test where there is none."""
    found = shutil.which("nginx", path=os.pathsep.join([*os.get_exec_path(), "/usr/sbin"]))
    if found is not None:
        return found
    folder = CACHE / "nginx"
    kept = folder / "usr/sbin/nginx"
    if not kept.exists():
        _unpack(folder, kept)
    tried = subprocess.run([kept, "-v"], capture_output=True, text=True, check=False, timeout=60)
    if tried.returncode:
        unavailable(f"nginx does not run: {tried.stderr[-300:]}")
    return str(kept)


def _unpack(folder: Path, wanted: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        unavailable("there is no nginx on PATH, and no apt-get to download it")
    folder.mkdir(parents=True, exist_ok=True)
    said = ""
    for package in _PACKAGES:
        done = subprocess.run(
            ["apt-get", "download", package], cwd=folder, capture_output=True, text=True, check=False, timeout=300
        )
        said = done.stderr
        for archive in folder.glob("*.deb"):
            subprocess.run(["dpkg", "-x", archive, folder], check=True, timeout=60)
            archive.unlink()
        if wanted.exists():
            return
    unavailable(f"nginx could not be downloaded: {said[-300:]}")


@contextmanager
def nginx(
    folder: Path, upstream: str | Sequence[str], directives: str = USUAL, port: PortKeeper | None = None
) -> Generator[str]:
    """Run nginx; yields its address.

    Args:
        folder: Where it keeps its files.
        upstream: The address of what is behind it, or several, which get the requests in turn.
        directives: What stands in its `location` besides `proxy_pass`.
        port: Its port, if that had to be known before; closed with it.
    """
    keeper = port or PortKeeper()
    config = folder / "nginx.conf"
    group = ""
    if not isinstance(upstream, str):
        group = "".join(["upstream behind {", *(f"server {urlsplit(one).netloc};" for one in upstream), "}"])
        upstream = "http://behind"
    text = _CONFIG.format(folder=folder, port=keeper.port, group=group, upstream=upstream, directives=directives)
    config.write_text(text)
    log = folder / "nginx.log"
    try:
        with running([program(), "-p", str(folder), "-c", str(config), "-e", str(log)], keeper.port, log):
            yield keeper.url
    finally:
        keeper.close()
