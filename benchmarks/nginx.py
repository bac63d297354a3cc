"""nginx in its two parts: the proxy that is the limit, and the upstream for plain answers."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.answers import models_body, plain_body

_SBIN = "/usr/sbin:/usr/local/sbin:/opt/homebrew/bin"


def nginx_path() -> str | None:
    """Find nginx, also where a plain user's PATH does not look."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:{_SBIN}")


def nginx_version() -> str:
    """Return the installed version."""
    said = subprocess.run([nginx_path() or "nginx", "-v"], capture_output=True, text=True, check=False).stderr
    return said.strip().rpartition("/")[2]


def write_proxy(folder: Path, port: int, *, plain: str, stream: str) -> Sequence[str]:
    """Write the configuration of the proxy, and return the command that starts it."""
    keepalive = "keepalive 128; keepalive_requests 1000000000;"
    hosts = {"plain": plain, "stream": stream}
    upstreams = "".join(
        f"upstream {name} {{ server {url.removeprefix('http://').partition('/')[0]}; {keepalive} }}\n"
        for name, url in hosts.items()
    )
    locations = "".join(
        f"location /{name}/ {{ proxy_pass http://{name}/v1/; proxy_http_version 1.1; "
        f'proxy_set_header Connection ""; {"proxy_buffering off;" if name == "stream" else ""} }}\n'
        for name in hosts
    )
    return _write(folder, f"{upstreams}server {{ listen 127.0.0.1:{port} backlog=1024;\n{locations}}}\n")


def write_stub(folder: Path, port: int) -> Sequence[str]:
    """Write the configuration of the upstream for plain answers, and return the command that starts it."""
    locations = "".join(
        f"location {where} {{ default_type application/json; return 200 '{body}'; }}\n"
        for where, body in (("/v1/models", models_body().decode()), ("/", plain_body().decode()))
    )
    return _write(folder, f"server {{ listen 127.0.0.1:{port} backlog=1024;\n{locations}}}\n")


def _write(folder: Path, servers: str) -> Sequence[str]:
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"worker_processes 1;\ndaemon off;\npid {folder}/nginx.pid;\nevents {{ worker_connections 1024; }}\n"
        f"http {{\naccess_log off;\n{temporary}keepalive_timeout 600s;\nkeepalive_requests 1000000000;\n{servers}}}\n"
    )
    return (nginx_path() or "nginx", "-p", str(folder), "-e", "stderr", "-c", str(config))
