"""nginx.conf is held to nginx itself, and to what a WebSocket needs of a proxy."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.live import ROOT

CONF = (ROOT / "nginx.conf").read_text()
needs_nginx = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")


def nginx_says(folder: Path, conf: str) -> str:
    """Has nginx read the configuration; only names that exist nowhere but in the containers are replaced."""
    conf = conf.replace("server web:8000;", "server 127.0.0.1:8000;").replace(
        "/run/nginx.pid", f"{folder}/pid"
    )
    conf = conf.replace("/etc/nginx/tls/", f"{folder}/tls/")
    (folder / "nginx.conf").write_text(re.sub(r"listen (80|443)\b", r"listen 127.0.0.1:1\1", conf))
    done = subprocess.run(
        ["nginx", "-t", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return done.stderr


@needs_nginx
def test_nginx_accepts_the_configuration(tmp_path: Path) -> None:
    assert "test is successful" in nginx_says(tmp_path, CONF)


@needs_nginx
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_nginx_accepts_it_with_tls(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    folder.mkdir()
    tls = (ROOT / "deploy" / "nginx-tls.conf").read_text()
    (folder / "tls.conf").write_text(
        tls.replace("/etc/nginx/tls/", f"{folder}/").replace("listen 443", "listen 127.0.0.1:1443")
    )
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-keyout", folder / "privkey.pem", "-out", folder / "fullchain.pem"],
        check=True, capture_output=True,
    )  # fmt: skip

    assert "test is successful" in nginx_says(tmp_path, CONF)


def test_metrics_are_not_shown_outside() -> None:
    assert re.search(r"location = /metrics \{\s*return 404;", CONF)


def test_a_client_cannot_make_up_where_it_comes_from() -> None:
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in CONF
    assert "$proxy_add_x_forwarded_for" not in CONF
