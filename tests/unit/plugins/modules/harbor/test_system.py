# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Configuration, garbage collection and artifacts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from harbor_standin.server import Fault, Standin

from ansible_collections.imagine.platform.plugins.module_utils import harbor_system

CHECK_IN: dict[str, Any] = {
    "auth_mode": "oidc_auth",
    "oidc_name": "EGI Check-in",
    "oidc_endpoint": "https://aai.egi.eu/auth/realms/egi",
    "oidc_client_id": "harbor",
    "oidc_scope": ["openid", "profile", "email", "offline_access", "eduperson_entitlement"],
    "oidc_groups_claim": "eduperson_entitlement",
    "oidc_user_claim": "voperson_id",
    "oidc_auto_onboard": True,
    "oidc_extra_redirect_parms": {"prompt": "login", "kc_idp_hint": "x"},
}
SECRET = "client-secret"


def test_check_in(standin: Standin, harbor: Any) -> None:
    options: dict[str, Any] = {"settings": CHECK_IN, "secrets": {"oidc_client_secret": SECRET}}
    planned = harbor("harbor_configuration", check=True, **options)
    assert planned["changed"] is True
    assert standin.configuration["auth_mode"] == "db_auth"
    done = harbor("harbor_configuration", **options)
    assert done["diff"] == planned["diff"]
    assert done["diff"]["before"]["auth_mode"] == "db_auth"
    assert done["diff"]["after"]["oidc_client_secret"] == "set anew"
    assert set(done["diff"]["after"]) == {*CHECK_IN, "oidc_client_secret"}
    assert SECRET not in json.dumps(done)
    assert standin.configuration["oidc_scope"] == "openid,profile,email,offline_access,eduperson_entitlement"
    assert json.loads(standin.configuration["oidc_extra_redirect_parms"]) == CHECK_IN["oidc_extra_redirect_parms"]
    assert standin.passwords == {"oidc_client_secret": SECRET}
    standin.configuration["oidc_extra_redirect_parms"] = '{"prompt":"login", "kc_idp_hint":"x"}'
    for check in (True, False):
        again = harbor("harbor_configuration", check=check, **options)
        assert again["changed"] is False
        assert again["diff"] == {"before": {}, "after": {}}
    shown = harbor("harbor_configuration_info")
    assert shown["configuration"]["oidc_user_claim"] == "voperson_id"
    assert shown["read_only"] == []
    assert not any("secret" in name or "password" in name for name in shown["configuration"])


def test_secrets_are_written_with_what_belongs_to_them(standin: Standin, harbor: Any) -> None:
    secrets = {"oidc_client_secret": SECRET, "ldap_search_password": "ldap-secret"}
    assert harbor("harbor_configuration", secrets=secrets)["changed"] is False
    harbor("harbor_configuration", settings={"ldap_timeout": 9}, secrets=secrets)
    assert standin.passwords == {"ldap_search_password": "ldap-secret"}
    done = harbor("harbor_configuration", secrets=secrets, update_secrets="always")
    assert done["changed"] is True
    assert standin.passwords == secrets


def test_types_of_settings(standin: Standin, harbor: Any) -> None:
    settings = {"token_expiration": "45", "self_registration": "True", "banner_message": None, "oidc_name": True}
    assert harbor("harbor_configuration", settings=settings)["changed"] is True
    assert standin.configuration["token_expiration"] == 45
    assert standin.configuration["self_registration"] is True
    assert standin.configuration["oidc_name"] == "true"
    assert harbor("harbor_configuration", settings=settings)["changed"] is False
    standin.configuration["banner_message"] = "{not json"
    assert harbor("harbor_configuration", settings={"banner_message": "{neither"})["changed"] is True


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"oidc_client_secret": "x"}, "give it in secrets"),
        ({"no_such_setting": 1}, "Harbor has no setting 'no_such_setting': use one of auth_mode"),
        ({"token_expiration": "soon"}, "wants a whole number"),
        ({"self_registration": "maybe"}, "wants true or false"),
        ({"auth_mode": "magic"}, "invalid auth_mode"),
        ({"robot_name_prefix": "bot$"}, "read-only there"),
    ],
)
def test_settings_that_cannot_be(standin: Standin, harbor: Any, settings: dict[str, Any], words: str) -> None:
    standin.read_only = {"robot_name_prefix"}
    before = dict(standin.configuration)
    assert words in harbor("harbor_configuration", fails=True, settings=settings)["msg"]
    assert standin.configuration == before


def test_settings_that_are_fixed(standin: Standin, harbor: Any) -> None:
    standin.users["bob"] = {"id": 9, "password": "x", "admin": False}
    standin.read_only = {"read_only"}
    assert harbor("harbor_configuration_info")["read_only"] == ["auth_mode", "read_only"]
    assert harbor("harbor_configuration", settings={"read_only": False})["changed"] is False
    message = harbor("harbor_configuration", fails=True, settings={"auth_mode": "oidc_auth"})["msg"]
    assert "from 'db_auth' to 'oidc_auth'" in message
    assert "users besides its administrator" in message
    standin.faults = [Fault(200, body=b"{}")]
    assert "without any setting" in harbor("harbor_configuration_info", fails=True)["msg"]


def test_schedule_life(standin: Standin, harbor: Any) -> None:
    def collect(operation: bool, **options: Any) -> dict[str, Any]:
        planned = harbor("harbor_garbage_collection", check=True, **options)
        done = harbor("harbor_garbage_collection", **options)
        assert planned["changed"] is done["changed"] is operation
        assert planned["diff"] == done["diff"]
        assert harbor("harbor_garbage_collection", **options)["changed"] is False
        return dict(done["schedule"])

    assert collect(False, schedule="none")["cron"] == ""
    assert collect(False)["schedule"] == "none"
    assert collect(True, schedule="weekly") == {
        "schedule": "weekly",
        "cron": "0 0 0 * * 0",
        "delete_untagged": False,
        "workers": 1,
    }
    assert collect(True, delete_untagged=True)["schedule"] == "weekly"
    assert collect(True, workers=3)["delete_untagged"] is True
    assert collect(True, schedule="daily")["cron"] == "0 0 0 * * *"
    assert collect(True, schedule="custom", cron="0 0 3 * *  1-5")["cron"] == "0 0 3 * * 1-5"
    assert collect(False, schedule="custom")["cron"] == "0 0 3 * * 1-5"
    assert collect(True, cron="0 0 4 * * *")["schedule"] == "custom"
    assert harbor("harbor_garbage_collection_info")["schedule"]["cron"] == "0 0 4 * * *"
    assert [one.split()[0] for one in standin.asked if one.endswith("schedule") and not one.startswith("GET")] == [
        "POST",
        *["PUT"] * 5,
    ]
    assert collect(True, schedule="none")["schedule"] == "none"
    assert standin.schedule is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"schedule": "custom"}, "needs it: give cron"),
        ({"schedule": "none", "cron": "0 0 0 * * *"}, "no effect without a schedule"),
        ({"cron": "0 0 0 * * *"}, "no effect without a schedule"),
        ({"schedule": "custom", "cron": "0 3 * * *"}, "has 5 fields"),
        ({"schedule": "custom", "cron": "* 0 3 * * *"}, "must be 0"),
        ({"workers": 6}, "give 1 to 5"),
    ],
)
def test_schedules_that_cannot_be(harbor: Any, options: dict[str, Any], words: str) -> None:
    assert words in harbor("harbor_garbage_collection", fails=True, **options)["msg"]


def test_run(standin: Standin, harbor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harbor_system, "POLL_SECONDS", 0.01)
    assert harbor("harbor_garbage_collection", check=True, run=True)["changed"] is True
    assert standin.executions == {}
    done = harbor("harbor_garbage_collection", run=True, delete_untagged=True, workers=2)
    assert (done["changed"], done["execution"]["status"]) == (True, "success")
    assert done["execution"]["delete_untagged"] is True
    assert done["schedule"]["schedule"] == "none"
    dry = harbor("harbor_garbage_collection", run=True, dry_run=True, wait=False)
    assert (dry["changed"], dry["execution"]["status"], dry["execution"]["dry_run"]) == (False, "running", True)
    standin.gc_outcome = "Error"
    failed = harbor("harbor_garbage_collection", fails=True, run=True)
    assert "ended with 'error'" in failed["msg"]
    assert failed["execution"]["status"] == "error"
    standin.gc_outcome = "Running"
    assert "has not ended after 0 s" in harbor("harbor_garbage_collection", fails=True, run=True, wait_timeout=0)["msg"]
    history = harbor("harbor_garbage_collection_info", limit=3)["executions"]
    assert len(history) == 3
    assert [one["id"] for one in history] == sorted(standin.executions, reverse=True)[:3]
    assert "give 0 or more" in harbor("harbor_garbage_collection_info", fails=True, limit=-1)["msg"]
    standin.faults = [Fault(201, match="POST")]
    assert "without naming it" in harbor("harbor_garbage_collection", fails=True, run=True)["msg"]


def test_schedules_of_other_versions(standin: Standin, harbor: Any) -> None:
    def shown(raw: dict[str, Any]) -> Any:
        standin.faults = [Fault(200, body=json.dumps(raw).encode(), match="schedule")]
        return harbor("harbor_garbage_collection_info")["schedule"]

    assert shown({"schedule": {"type": "None"}})["schedule"] == "none"
    assert shown({})["schedule"] == "none"
    odd = {"schedule": {"type": "Schedule", "cron": "0 0 1 * * *"}, "job_parameters": "rubbish"}
    assert shown(odd) == {"schedule": "custom", "cron": "0 0 1 * * *", "delete_untagged": False, "workers": 1}
    assert shown({**odd, "job_parameters": "[]"})["workers"] == 1


DIGEST = "sha256:" + "1" * 64
SCAN = {
    "application/vnd.security.vulnerability.report; version=1.1": {
        "report_id": "x",
        "scan_status": "Success",
        "severity": "High",
        "summary": {"total": 3, "fixable": 1, "summary": {"High": 1, "Low": 2}},
        "end_time": "2026-01-01T00:00:00.000Z",
    }
}


def test_artifacts(standin: Standin, harbor: Any) -> None:
    standin.push(
        "library", "modules/plankton/täst", DIGEST, ["v1", "latest"], scan_overview=SCAN, labels=[{"name": "ok"}]
    )
    standin.artifacts["library", "modules/plankton/täst"][0]["tags"][0]["immutable"] = True
    platform = {"child_digest": "sha256:c", "platform": {"os": "linux", "architecture": "arm64"}}
    standin.push("library", "base", "sha256:" + "2" * 64, references=[platform])
    listed = harbor("harbor_artifact_info", project="library")
    assert listed["changed"] is False
    assert [one["repository"] for one in listed["artifacts"]] == ["base", "modules/plankton/täst"]
    base, plankton = listed["artifacts"]
    assert base["platforms"] == [{"digest": "sha256:c", "os": "linux", "architecture": "arm64"}]
    assert base["scan"] is None
    assert plankton["tags"] == ["latest", "v1"]
    assert plankton["immutable_tags"] == ["v1"]
    assert plankton["labels"] == ["ok"]
    assert (plankton["size"], plankton["type"]) == (1024, "image")
    assert plankton["scan"] == {
        "status": "success",
        "severity": "high",
        "total": 3,
        "fixable": 1,
        "summary": {"high": 1, "low": 2},
        "end_time": "2026-01-01T00:00:00.000Z",
    }
    one = {"project": "library", "repository": "modules/plankton/täst"}
    for reference in ("latest", DIGEST):
        found = harbor("harbor_artifact_info", **one, reference=reference)["artifacts"]
        assert [artifact["digest"] for artifact in found] == [DIGEST]
    assert harbor("harbor_artifact_info", **one, reference="missing")["artifacts"] == []
    assert len(harbor("harbor_artifact_info", **one)["artifacts"]) == 1
    assert harbor("harbor_artifact_info", project="library", repository="none")["artifacts"] == []
    assert "reference" in harbor("harbor_artifact_info", fails=True, project="library", reference="x")["msg"]
    assert "cannot be the name" in harbor("harbor_artifact_info", fails=True, project="library/modules")["msg"]
    assert "does not have it" in harbor("harbor_artifact_info", fails=True, project="nowhere")["msg"]


def test_many_artifacts(standin: Standin, harbor: Any) -> None:
    for number in range(205):
        standin.push("library", "many", f"sha256:{number:064x}", [f"t{number}"])
    found = harbor("harbor_artifact_info", project="library", repository="many")["artifacts"]
    assert len({artifact["digest"] for artifact in found}) == 205
    assert len(standin.asked) == 4
