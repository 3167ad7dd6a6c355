# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

"""The module behind a real DEEPaaS, started as in the image."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PREDICT = "/v2/models/digits_classifier/predict/"


@pytest.fixture(scope="module")
def server(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running DEEPaaS."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    temporary = tmp_path_factory.mktemp("uploads")
    log = temporary.parent / "deepaas.log"
    environment = {
        **os.environ,
        "DIGITS_CLASSIFIER_MODEL": str(trained),
        "OS_DEFAULT__CLIENT_MAX_SIZE": "10485760",
        "TMPDIR": str(temporary),
    }
    argv = [str(Path(sys.executable).with_name("deepaas-run")), "--listen-ip=127.0.0.1", f"--listen-port={port}"]
    with log.open("w") as stream:
        process = subprocess.Popen(argv, env=environment, stdout=stream, stderr=stream)
    try:
        end = time.monotonic() + 60
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), 1):
                    break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    pytest.fail(log.read_text())
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
        assert not [path for path in temporary.iterdir() if path.is_file()], "uploads were left behind"
    finally:
        process.terminate()
        process.wait(20)


def ask(address: str, data: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(address, data=data, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        text = error.read().decode()
        return error.code, json.loads(text) if text.startswith("{") else text


def form(content: bytes, filename: str | None = "picture") -> tuple[bytes, dict[str, str]]:
    boundary = uuid.uuid4().hex
    name = 'name="image"' + (f'; filename="{filename}"' if filename else "")
    head = f"--{boundary}\r\nContent-Disposition: form-data; {name}\r\n\r\n"
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def test_models(server: str) -> None:
    status, answer = ask(f"{server}/v2/models/")
    assert status == 200
    (model,) = answer["models"]
    assert model["id"] == "digits_classifier"
    assert model["accuracy"] > 0.98


@pytest.mark.parametrize("accept", ["application/json", "*/*"])
def test_prediction(server: str, sample: tuple[Path, int], accept: str) -> None:
    body, headers = form(sample[0].read_bytes())
    status, answer = ask(server + PREDICT, body, {**headers, "Accept": accept})
    assert status == 200
    assert answer["predictions"]["label"] == sample[1]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (form(b"text"), 422, "not a PNG or JPEG"),
        (form(b"seven", None), 422, "not a file"),
        ((b"", {"Content-Type": "application/x-www-form-urlencoded"}), 422, "Missing data"),
        (form(bytes(11_000_000)), 413, "exceeded"),
    ],
)
def test_bad_requests(server: str, body: tuple[bytes, dict[str, str]], status: int, message: str) -> None:
    found, answer = ask(server + PREDICT, *body)
    assert found == status
    assert message in str(answer)


def test_swagger(server: str) -> None:
    status, answer = ask(f"{server}/swagger.json")
    assert status == 200
    parameters = {item["name"]: item for item in answer["paths"][PREDICT]["post"]["parameters"]}
    assert parameters["image"]["in"] == "formData"
    assert parameters["image"]["type"] == "file"
    assert parameters["accept"]["in"] == "header"
