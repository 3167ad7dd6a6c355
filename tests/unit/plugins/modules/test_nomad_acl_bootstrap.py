# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Bootstrapping ACLs: resumed, overtaken, refused, and with a server that misbehaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from nomad_stand_in import Nomad, stand_in

SECRET = "12345678-1234-1234-1234-123456789abc"
SELF, BOOTSTRAP = "acl/token/self", "acl/bootstrap"
TOKEN = {"AccessorID": "accessor", "SecretID": SECRET, "Type": "management", "Name": "Bootstrap Token"}
DONE = "ACL bootstrap already done (reset index: 42)"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nomad]:
    for variable in ("ADDR", "TOKEN", "CACERT", "NAMESPACE", "REGION", "CLIENT_CERT", "CLIENT_KEY"):
        monkeypatch.delenv(f"NOMAD_{variable}", raising=False)
    monkeypatch.setattr("ansible_collections.imagine.platform.plugins.modules.nomad_acl_bootstrap.RETRY_SECONDS", 0.01)
    monkeypatch.setattr("ansible_collections.imagine.platform.plugins.module_utils.nomad.RETRY_SECONDS", 0.01)
    with stand_in() as nomad:
        yield nomad


@pytest.fixture
def bootstrap(server: Nomad, run_module: Callable[..., Any]) -> Callable[..., Any]:
    def call(fails: bool = False, check: bool = False, **options: Any) -> Any:
        defaults = {"nomad_address": server.address, "secret": SECRET, "timeout": 1}
        result = run_module("nomad_acl_bootstrap", check=check, **{**defaults, **options})
        assert bool(result.get("failed")) == fails, result
        assert SECRET not in str({**result, "invocation": None})
        return result

    return call


def test_the_first_time(bootstrap: Any, server: Nomad) -> None:
    server.answer_instead("GET", SELF, 403, "Permission denied")
    server.answer_instead("POST", BOOTSTRAP, 200, TOKEN)
    result = bootstrap()
    assert (result["changed"], result["accessor_id"]) == (True, "accessor")


@pytest.mark.parametrize("check", [True, False])
def test_again(bootstrap: Any, server: Nomad, check: bool) -> None:
    server.answer_instead("GET", SELF, 200, TOKEN)
    assert bootstrap(check=check)["changed"] is False
    assert server.asked == [("GET", SELF)]


def test_check_mode_writes_nothing(bootstrap: Any, server: Nomad) -> None:
    server.answer_instead("GET", SELF, 404, "not found")
    result = bootstrap(check=True)
    assert (result["changed"], result["accessor_id"]) == (True, None)
    assert server.asked == [("GET", SELF)]


def test_another_run_was_first_with_the_same_secret(bootstrap: Any, server: Nomad) -> None:
    server.answer_instead("GET", SELF, 403, "Permission denied")
    server.answer_instead("POST", BOOTSTRAP, 400, DONE)
    server.answer_instead("GET", SELF, 200, TOKEN)
    assert bootstrap()["accessor_id"] == "accessor"


def test_bootstrapped_with_another_secret(bootstrap: Any, server: Nomad) -> None:
    server.answer_instead("GET", SELF, 403, "Permission denied", times=2)
    server.answer_instead("POST", BOOTSTRAP, 400, DONE)
    assert "write 42 into the file acl-bootstrap-reset" in bootstrap(fails=True)["msg"]


def test_a_refusal_for_another_reason_is_not_taken_for_done(bootstrap: Any, server: Nomad) -> None:
    server.answer_instead("GET", SELF, 403, "Permission denied")
    server.answer_instead("POST", BOOTSTRAP, 400, "invalid acl token")
    assert "invalid acl token" in bootstrap(fails=True)["msg"]


def test_a_run_whose_answer_was_lost_is_resumed(bootstrap: Any, server: Nomad) -> None:
    server.answer_instead("GET", SELF, 403, "Permission denied")
    server.answer_instead("POST", BOOTSTRAP, 500, "No cluster leader")
    server.answer_instead("GET", SELF, 200, TOKEN)
    assert bootstrap()["changed"] is False


def test_waiting_ends(bootstrap: Any, server: Nomad) -> None:
    server.answer_instead("GET", SELF, 500, "No cluster leader", times=999)
    assert "Waited 1 s in vain" in bootstrap(fails=True)["msg"]
    assert len(server.asked) > 2


def test_a_secret_without_all_rights(bootstrap: Any, server: Nomad) -> None:
    server.answer_instead("GET", SELF, 200, {**TOKEN, "Type": "client", "Name": "api"})
    assert "client token 'api'" in bootstrap(fails=True)["msg"]


def test_a_server_that_chooses_its_own_secret(bootstrap: Any, server: Nomad) -> None:
    server.answer_instead("GET", SELF, 403, "Permission denied")
    server.answer_instead("POST", BOOTSTRAP, 200, {**TOKEN, "SecretID": "another"})
    result = bootstrap(fails=True)
    assert "chose another secret" in result["msg"]


@pytest.mark.parametrize("rubbish", [b"<html>", [], 7, {}, {"Type": "management"}, b'{"SecretID": "s3cret'])
@pytest.mark.parametrize("path", [SELF, BOOTSTRAP])
def test_rubbish(bootstrap: Any, server: Nomad, path: str, rubbish: Any) -> None:
    if path == BOOTSTRAP:
        server.answer_instead("GET", SELF, 403, "Permission denied")
    server.answer_instead("GET" if path == SELF else "POST", path, 200, rubbish)
    result = bootstrap(fails=True)
    assert server.address in result["msg"]
    assert "s3cret" not in result["msg"]
    assert "\n" not in result["msg"]


def test_no_uuid(bootstrap: Any) -> None:
    assert "is no UUID" in bootstrap(fails=True, secret="hunter2-and-more")["msg"]
