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
from tests.installed import from_distribution, libraries_of, unavailable
from tests.routers.program import running

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
    kept = from_distribution("nginx", "usr/sbin/nginx")
    tried = subprocess.run(
        [kept, "-v"], capture_output=True, text=True, check=False, timeout=60, env=libraries_of(kept)
    )
    if tried.returncode:
        unavailable(f"nginx does not run: {tried.stderr[-300:]}")
    return str(kept)


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
        command = [program(), "-p", str(folder), "-c", str(config), "-e", str(log)]
        with running(command, keeper.port, log, libraries_of(Path(program()))):
            yield keeper.url
    finally:
        keeper.close()
