# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Ask the deployed module about a picture, over HTTPS with the local authority, and compare with what is on it."""

from __future__ import annotations

import http.client
import json
import secrets
import socket
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from driver.console import Failed

PATIENCE = 60.0


class _At(http.client.HTTPSConnection):
    """HTTPS to a host that is known by its address only, as `curl --resolve` does it; the certificate is verified."""

    def __init__(self, host: str, address: str, context: ssl.SSLContext) -> None:
        super().__init__(host, 443, timeout=30)
        self._address, self._verified = address, context

    def connect(self) -> None:
        plain = socket.create_connection((self._address, 443), self.timeout)
        self.sock = self._verified.wrap_socket(plain, server_hostname=self.host)


def _multipart(name: str, path: Path) -> tuple[bytes, str]:
    boundary = secrets.token_hex(16)
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{path.name}"\r\n'
        "Content-Type: image/png\r\n\r\n"
    )
    return (
        head.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode(),
        f"multipart/form-data; boundary={boundary}",
    )


def post(host: str, address: str, ca_file: str, path: str, picture: Path) -> tuple[int, bytes]:
    """Upload one picture."""
    context = ssl.create_default_context(cafile=ca_file)
    body, content_type = _multipart("image", picture)
    connection = _At(host, address, context)
    try:
        connection.request("POST", path, body, {"Content-Type": content_type, "Accept": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def curl(deployment: Mapping[str, object], picture: Path) -> str:
    """The same request for a shell."""
    host = urlsplit(str(deployment["url"])).hostname
    return (
        f"curl --cacert {deployment['ca_file']} --resolve {host}:443:{deployment['address']} \\\n"
        f"  -H 'Accept: application/json' -F 'image=@{picture};type=image/png' \\\n"
        f"  {deployment['url']}{deployment['predict_path']}"
    )


def ask(deployment: Mapping[str, object], picture: Path) -> tuple[str, str]:
    """The report for the summary, and a note for the phase."""
    wanted = json.loads((picture.parent / "labels.json").read_text(encoding="utf-8"))[picture.name]["label"]
    url, ca_file = str(deployment["url"]), str(deployment["ca_file"])
    host, address = urlsplit(url).hostname or "", str(deployment["address"])
    path = str(deployment["predict_path"])
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            status, body = post(host, address, ca_file, path, picture)
            # The ingress learns of a new service within seconds, and the module loads its model.
            problem = "" if status == 200 else f"status {status}: {body[:200].decode(errors='replace')}"
        except OSError as error:
            problem = str(error)
        if not problem:
            break
        if time.monotonic() > deadline:
            raise Failed(f"{url}{path} does not answer after {PATIENCE:.0f} s: {problem}.")
        time.sleep(0.5)
    answer = json.loads(body)
    answer = answer.get("predictions", answer)
    if answer.get("label") != wanted:
        raise Failed(f"{url} says that {picture.name} shows {answer.get('label')!r}, and it shows {wanted}.")
    probability = float(answer["probability"])
    text = (
        f"Module      {url}\n"
        f"Prediction  {picture.name} shows the digit {answer['label']}, probability {probability:.2f}: it is right.\n"
        f"Ask again   {curl(deployment, picture)}"
    )
    return text, f"digit {answer['label']}, probability {probability:.2f}"
