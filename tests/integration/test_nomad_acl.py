# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""ACL modules, namespaces and scheduler configuration against a real Nomad."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import nomad as python_nomad
import pytest
import requests

RULES = 'namespace "*" {\n  policy = "read"\n}\n'


def test_bootstrap_again_changes_nothing(nomad: Any, nomad_agent: Any) -> None:
    for check_mode in (True, False):
        result = nomad("nomad_acl_bootstrap", secret=nomad_agent.token, check_mode=check_mode)
        assert result["changed"] is False
        assert result["accessor_id"]
        assert nomad_agent.token not in result["_output"]


def test_bootstrap_with_another_secret_says_what_to_do(nomad: Any) -> None:
    result = nomad("nomad_acl_bootstrap", fails=True, secret=str(uuid.uuid4()))
    assert "were bootstrapped with another secret" in result["msg"]
    assert "acl-bootstrap-reset" in result["msg"]
    assert "\n" not in result["msg"]


def test_bootstrap_with_the_secret_of_a_client_token(nomad: Any) -> None:
    nomad("nomad_acl_policy", name="bootstrap-test", rules=RULES)
    token = nomad("nomad_acl_token", name="no-manager", policies=["bootstrap-test"], return_secrets=True)["token"]
    result = nomad("nomad_acl_bootstrap", fails=True, secret=token["secret_id"])
    assert "does not have all rights" in result["msg"]


def test_bootstrap_refuses_what_is_no_uuid(nomad: Any) -> None:
    assert "is no UUID" in nomad("nomad_acl_bootstrap", fails=True, secret="hunter2")["msg"]


def test_bootstrap_waits_only_so_long(run_module: Any) -> None:
    result = run_module("nomad_acl_bootstrap", nomad_address="https://127.0.0.1:1", secret=str(uuid.uuid4()), timeout=1)
    assert result["failed"]
    assert "Waited 1 s in vain" in result["msg"]
    assert "Connection refused" in result["msg"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"nomad_token": str(uuid.UUID(int=1))}, "refused"),
        ({"nomad_token": ""}, "nomad_token is not set"),
        ({"nomad_ca_cert": "other-ca.pem"}, "TLS"),
        ({"nomad_ca_cert": "missing.pem"}, "no such file"),
        ({"nomad_address": "127.0.0.1:4646"}, "no HTTP address"),
        ({"nomad_address": "https://127.0.0.1:1"}, "Connection refused"),
        ({"nomad_address": "https://nomad.invalid:4646"}, "Cannot connect"),
        ({"nomad_client_cert": "cert.pem"}, "nomad_client_key is not set"),
    ],
)
def test_each_way_not_to_reach_nomad_has_its_sentence(
    nomad: Any, nomad_agent: Any, options: dict[str, str], words: str
) -> None:
    files = {
        name: str(nomad_agent.directory / value) if value.endswith(".pem") else value for name, value in options.items()
    }
    result = nomad("nomad_namespace", fails=True, name="x", **files)
    assert words in result["msg"], result["msg"]
    assert "\n" not in result["msg"]
    assert "Traceback" not in result["_output"]


def test_plain_http_on_a_tls_port(nomad: Any, nomad_agent: Any) -> None:
    address = nomad_agent.address.replace("https", "http")
    assert "write it with https://" in nomad("nomad_namespace", fails=True, name="x", nomad_address=address)["msg"]


def test_client_certificate_is_presented(nomad: Any, nomad_agent: Any) -> None:
    directory: Path = nomad_agent.directory
    nomad(
        "nomad_namespace",
        name="default",
        nomad_client_cert=str(directory / "cert.pem"),
        nomad_client_key=str(directory / "key.pem"),
    )


def test_policy_life(nomad: Any) -> None:
    wanted = {"name": "life", "description": "first", "rules": RULES}
    planned = nomad("nomad_acl_policy", **wanted, check_mode=True)
    assert (planned["changed"], planned["operation"]) == (True, "create")
    made = nomad("nomad_acl_policy", **wanted)
    assert made["operation"] == "create"
    assert made["diff"]["after"]["life"]["rules"] == RULES
    assert nomad("nomad_acl_policy", **wanted, check_mode=True)["changed"] is False
    assert nomad("nomad_acl_policy", name="life", rules=RULES.strip() + "\n\n")["changed"] is False

    changed = nomad("nomad_acl_policy", name="life", description="second")
    assert changed["diff"] == {
        "before": {"life": {"description": "first", "rules": RULES, "job_acl": {}}},
        "after": {"life": {"description": "second", "rules": RULES, "job_acl": {}}},
    }
    attached = nomad("nomad_acl_policy", name="life", job_acl={"namespace": "default", "job_id": "a job"})
    assert attached["policy"]["job_acl"] == {"namespace": "default", "job_id": "a job"}
    assert (
        nomad("nomad_acl_policy", name="life", job_acl={"namespace": "default", "job_id": "a job"})["changed"] is False
    )
    assert nomad("nomad_acl_policy", name="life", job_acl={})["changed"] is True

    assert nomad("nomad_acl_policy", name="life", state="absent", check_mode=True)["operation"] == "delete"
    assert nomad("nomad_acl_policy", name="life", state="absent")["operation"] == "delete"
    assert nomad("nomad_acl_policy", name="life", state="absent")["changed"] is False


def test_policy_mistakes(nomad: Any) -> None:
    assert "has no rules" in nomad("nomad_acl_policy", fails=True, name="empty")["msg"]
    assert "cannot be the name" in nomad("nomad_acl_policy", fails=True, name="a/b ü", rules=RULES)["msg"]
    assert "'wrong'" in nomad("nomad_acl_policy", fails=True, name="wrong", rules="nonsense {")["msg"]


def test_many_policies_in_one_call(nomad: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    policies = [{"name": f"bulk-{number}", "description": f"nr {number}", "rules": RULES} for number in range(20)]
    made = nomad("nomad_acl_policy", policies=policies)
    assert [policy["operation"] for policy in made["policies"]] == ["create"] * 20
    asked: list[str] = []
    original = python_nomad.api.base.Requester.request

    def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(self.ENDPOINT)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(python_nomad.api.base.Requester, "request", counting)
    assert nomad("nomad_acl_policy", policies=policies)["changed"] is False
    assert asked == ["acl/policies"]

    policies[3]["description"] = "changed"
    result = nomad("nomad_acl_policy", policies=policies, check_mode=True)
    assert list(result["diff"]["after"]) == ["bulk-3"]
    assert result["diff"]["before"]["bulk-3"]["rules"] == RULES
    removed = nomad("nomad_acl_policy", state="absent", policies=[{"name": policy["name"]} for policy in policies])
    assert {policy["operation"] for policy in removed["policies"]} == {"delete"}


def test_bulk_failure_says_what_was_done(nomad: Any) -> None:
    policies = [{"name": "good", "rules": RULES}, {"name": "broken", "rules": "nonsense {"}]
    result = nomad("nomad_acl_policy", fails=True, policies=policies)
    assert "'broken'" in result["msg"]
    assert result["changed"] is True
    assert [policy["name"] for policy in result["policies"]] == ["good"]
    assert "listed twice" in nomad("nomad_acl_policy", fails=True, policies=[policies[0], policies[0]])["msg"]


def test_token_life(nomad: Any, nomad_agent: Any, run_module: Any) -> None:
    nomad("nomad_acl_policy", policies=[{"name": "one", "rules": RULES}, {"name": "two", "rules": RULES}])
    assert nomad("nomad_acl_token", name="täst / odd", policies=["one"], check_mode=True)["operation"] == "create"
    made = nomad("nomad_acl_token", name="täst / odd", policies=["one"])
    assert made["operation"] == "create"
    assert "secret_id" not in made["token"]
    accessor = made["token"]["accessor_id"]
    again = nomad("nomad_acl_token", name="täst / odd", policies=["one"], return_secrets=True)
    assert again["changed"] is False
    assert again["token"]["accessor_id"] == accessor
    secret = again["token"]["secret_id"]

    updated = nomad("nomad_acl_token", name="täst / odd", policies=["two", "one"])
    assert updated["operation"] == "update"
    assert secret not in updated["_output"]
    assert updated["diff"]["after"]["täst / odd"]["policies"] == ["one", "two"]
    listed = run_module("nomad_namespace", **{**nomad_agent.connection, "nomad_token": secret}, name="default")
    assert not listed.get("failed"), listed
    renamed = nomad("nomad_acl_token", name="renamed", accessor_id=accessor)
    assert renamed["operation"] == "update"
    assert nomad("nomad_acl_token", name="renamed", type="client", policies=["one", "two"])["changed"] is False
    assert "never changes" in nomad("nomad_acl_token", fails=True, name="renamed", **{"global": True})["msg"]
    assert nomad("nomad_acl_token", name="renamed", state="absent")["operation"] == "delete"
    assert nomad("nomad_acl_token", name="renamed", state="absent")["changed"] is False
    assert (
        "does not exist"
        in nomad("nomad_acl_token", fails=True, name="x", accessor_id=accessor, policies=["one"])["msg"]
    )


def test_token_that_expires_can_be_updated(nomad: Any) -> None:
    nomad("nomad_acl_policy", policies=[{"name": "one", "rules": RULES}, {"name": "two", "rules": RULES}])
    nomad("nomad_acl_token", name="short", policies=["one"], expiration_ttl="1h")
    assert nomad("nomad_acl_token", name="short", policies=["one"], expiration_ttl="1h")["changed"] is False
    assert nomad("nomad_acl_token", name="short", policies=["two"])["operation"] == "update"


def test_tokens_with_one_name_are_not_guessed_at(nomad: Any, nomad_agent: Any) -> None:
    for _number in range(2):
        requests.post(
            f"{nomad_agent.address}/v1/acl/token",
            json={"Name": "twin", "Type": "management"},
            headers={"X-Nomad-Token": nomad_agent.token},
            verify=str(nomad_agent.directory / "ca.pem"),
            timeout=10,
        ).raise_for_status()
    assert "give accessor_id" in nomad("nomad_acl_token", fails=True, name="twin", state="absent")["msg"]


def test_token_by_its_secret(nomad: Any) -> None:
    nomad("nomad_acl_policy", name="one", rules=RULES)
    tokens = [{"name": "swap", "policies": ["one"]}, {"name": "swap-next", "policies": ["one"]}]
    old, new = (token["secret_id"] for token in nomad("nomad_acl_token", tokens=tokens, return_secrets=True)["tokens"])
    swapped = [{"name": "swap-previous", "secret_id": old}, {"name": "swap", "secret_id": new}]
    for check_mode in (True, False):
        result = nomad("nomad_acl_token", tokens=swapped, check_mode=check_mode)
        assert [token["operation"] for token in result["tokens"]] == ["update", "update"]
        assert old not in result["_output"]
    assert nomad("nomad_acl_token", tokens=swapped)["changed"] is False
    assert nomad("nomad_acl_token", name="swap", return_secrets=True, policies=["one"])["token"]["secret_id"] == new
    gone = {"name": "whatever", "secret_id": old, "state": "absent"}
    assert nomad("nomad_acl_token", **gone)["operation"] == "delete"
    assert nomad("nomad_acl_token", **gone)["operation"] == "none"
    unknown = nomad("nomad_acl_token", fails=True, name="whatever", secret_id=old)
    assert "secret_id of token 'whatever' is that of no token" in unknown["msg"]
    both = nomad("nomad_acl_token", fails=True, name="x", secret_id=new, accessor_id="a")
    assert "has both accessor_id and secret_id" in both["msg"]
    nomad("nomad_acl_token", name="x", secret_id=new, state="absent")


def test_many_tokens_in_one_call(nomad: Any) -> None:
    nomad("nomad_acl_policy", name="one", rules=RULES)
    tokens: list[dict[str, Any]] = [{"name": "bulk a", "policies": ["one"]}, {"name": "bulk b", "type": "management"}]
    made = nomad("nomad_acl_token", tokens=tokens, return_secrets=True)
    assert all(token["secret_id"] for token in made["tokens"])
    again = nomad("nomad_acl_token", tokens=tokens, return_secrets=True)
    assert again["changed"] is False
    assert [token["secret_id"] for token in again["tokens"]] == [token["secret_id"] for token in made["tokens"]]
    gone = nomad("nomad_acl_token", tokens=[{**token, "state": "absent"} for token in tokens])
    assert [token["operation"] for token in gone["tokens"]] == ["delete", "delete"]


def test_namespace_life(nomad: Any) -> None:
    wanted: dict[str, Any] = {
        "name": "life",
        "description": "vo.example.org",
        "meta": {"vo": "vo.example.org", "open": True},
        "capabilities": {"disabled_task_drivers": ["raw_exec"]},
    }
    assert nomad("nomad_namespace", **wanted, check_mode=True)["operation"] == "create"
    assert nomad("nomad_namespace", **wanted)["operation"] == "create"
    for check_mode in (True, False):
        assert nomad("nomad_namespace", **wanted, check_mode=check_mode)["changed"] is False
    assert nomad("nomad_namespace", name="life")["namespace"]["meta"] == {"vo": "vo.example.org", "open": "true"}
    changed = nomad("nomad_namespace", name="life", capabilities={"enabled_network_modes": ["bridge", "host"]})
    assert changed["namespace"]["capabilities"]["disabled_task_drivers"] == ["raw_exec"]
    assert nomad("nomad_namespace", name="life", meta={})["namespace"]["meta"] == {}
    assert nomad("nomad_namespace", name="life", description="")["operation"] == "update"
    assert nomad("nomad_namespace", name="life", state="absent")["operation"] == "delete"
    assert nomad("nomad_namespace", name="life", state="absent")["changed"] is False
    assert "cannot be deleted" in nomad("nomad_namespace", fails=True, name="default", state="absent")["msg"]
    assert "cannot be the name" in nomad("nomad_namespace", fails=True, name="vo.dotted")["msg"]


def test_many_namespaces_in_one_call(nomad: Any) -> None:
    namespaces: list[dict[str, Any]] = [{"name": f"bulk-{number}", "description": "bulk"} for number in range(5)]
    assert nomad("nomad_namespace", namespaces=namespaces)["changed"] is True
    assert nomad("nomad_namespace", namespaces=namespaces)["changed"] is False
    mixed = [{**namespaces[0], "state": "absent"}, *namespaces[1:]]
    assert [one["operation"] for one in nomad("nomad_namespace", namespaces=mixed)["namespaces"]] == [
        "delete",
        "none",
        "none",
        "none",
        "none",
    ]
    assert nomad("nomad_namespace", namespaces=[])["changed"] is False


def test_scheduler_config(nomad: Any) -> None:
    wanted: dict[str, Any] = {
        "algorithm": "spread",
        "preemption_service": True,
        "preemption_batch": True,
        "memory_oversubscription": True,
    }
    before = nomad("nomad_scheduler_config")["scheduler_config"]
    planned = nomad("nomad_scheduler_config", **wanted, check_mode=True)
    assert planned["changed"] is True
    assert planned["diff"]["before"] == before
    done = nomad("nomad_scheduler_config", **wanted)
    assert done["scheduler_config"] == {**before, **wanted}
    assert nomad("nomad_scheduler_config", **wanted)["changed"] is False
    for option in ("reject_job_registration", "pause_eval_broker"):
        assert nomad("nomad_scheduler_config", **{option: True})["scheduler_config"][option] is True
        assert nomad("nomad_scheduler_config", **{option: False})["changed"] is True
