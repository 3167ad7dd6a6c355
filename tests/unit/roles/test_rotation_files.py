# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What the roles make of a rotation that is under way."""

from __future__ import annotations

import datetime
import uuid
from pathlib import Path
from typing import Any

import pytest
from rendering import evaluate

MARK = {"type": "mark"}
GOSSIP = {"type": "gossip32"}
OLD, NEW, REPLACED = (str(uuid.UUID(int=number)) for number in (1, 2, 3))
STARTED = "2026-11-25T04:00:00+00:00"


def rotation(directory: Path, kind: str, whole: bool = True, **variables: Any) -> Any:
    """The secrets of a rotation on one host, which is the whole federation or a part of it."""
    given = {
        "rotation_kind": kind,
        "_rotation_whole": whole,
        "federation_name": "imagine",
        "site_name": "ifca-imagine",
        "federation_secrets": {},
        **variables,
    }
    return evaluate("rotation", directory, given, secrets="_rotation_secrets")["secrets"]


def test_certificates(tmp_path: Path) -> None:
    assert rotation(tmp_path, "certificates") == {"certificates": {"localhost": MARK}}


@pytest.mark.parametrize(
    ("whole", "expected"),
    [
        (True, {"nomad": {"gossip_key": GOSSIP}, "sites": {"ifca-imagine": {"consul_gossip_key": GOSSIP}}}),
        (False, {"sites": {"ifca-imagine": {"consul_gossip_key": GOSSIP}}}),
    ],
)
def test_gossip_keys(tmp_path: Path, whole: bool, expected: Any) -> None:
    assert rotation(tmp_path, "gossip", whole=whole) == expected


def test_parts_may_be_given_as_text(tmp_path: Path) -> None:
    both = {"nomad": {"gossip_key": GOSSIP}, "sites": {"ifca-imagine": {"consul_gossip_key": GOSSIP}}}
    assert rotation(tmp_path, "gossip", rotation_parts="nomad, consul") == both
    assert rotation(tmp_path, "gossip", rotation_parts="nomad") == {"nomad": both["nomad"]}


@pytest.mark.parametrize("nodes", ["w,c", "c"])
def test_a_site_of_its_own_replaces_what_its_consul_has(tmp_path: Path, nodes: str) -> None:
    hosts = {
        "w": {"site_name": "walton", "node_roles": ["ingress"]},
        "c": {"site_name": "walton", "node_roles": ["compute"]},
    }
    given = {
        "federation_scope": "site",
        "federation_name": "imagine",
        "federation_secrets": {},
        "rotation_kind": "tokens",
        "_rotation_step": "begin",
    }
    found = evaluate(
        "rotation",
        tmp_path,
        given,
        hosts,
        nodes,
        gossip="_rotation_secrets_gossip",
        authorities="_rotation_secrets_ca",
        tokens="_rotation_secrets_tokens",
        of_nomad="_rotation_nomad_due",
        lacking="_rotation_lacking",
    )
    own = {node: {purpose: {"type": "uuid"} for purpose in ("agent", "nomad", "traefik")} for node in hosts}
    management = {"consul_management_token": {"type": "uuid"}} if nodes == "w,c" else {}
    assert found == {
        "gossip": {"sites": {"walton": {"consul_gossip_key": GOSSIP}}},
        "authorities": {"sites": {"walton": {"consul_ca": {"type": "ca", "common_name": "imagine walton Consul CA"}}}},
        "tokens": {"sites": {"walton": {**management, "consul_tokens": own}}, "nomad": {"tokens": {}}},
        "of_nomad": [],
        # A run on some of its nodes is refused.
        "lacking": [] if nodes == "w,c" else ["w"],
    }


def test_authorities(tmp_path: Path) -> None:
    def authority(name: str) -> dict[str, str]:
        return {"type": "ca", "common_name": f"imagine {name}"}

    assert rotation(tmp_path, "ca") == {
        "nomad": {"ca": authority("Nomad CA")},
        "ingress": {"ca": authority("ingress CA")},
        "sites": {"ifca-imagine": {"consul_ca": authority("ifca-imagine Consul CA")}},
    }
    assert rotation(tmp_path, "ca", rotation_parts=["ingress"]) == {"ingress": {"ca": authority("ingress CA")}}


def nomad_tokens(directory: Path, step: str, **variables: Any) -> Any:
    expressions = {"secrets": "_rotation_nomad_tokens", "due": "_rotation_nomad_due"}
    given = {"rotation_kind": "tokens", "_rotation_step": step, "_rotation_whole": True, **variables}
    return evaluate("rotation", directory, given, **expressions)


def test_nomad_tokens_begin_with_those_that_were_made(tmp_path: Path) -> None:
    made = {"operator": "o", "management": "m"}
    found = nomad_tokens(tmp_path, "begin", federation_secrets={}, nomad_next_tokens=made)
    assert found["due"] == ["operator", "platform-api", "management"]
    assert found["secrets"] == {
        "tokens": {"operator": {"type": "given", "value": "o"}},
        "management_token": {"type": "given", "value": "m"},
    }


def test_nomad_tokens_under_way(tmp_path: Path) -> None:
    rotations = {
        "nomad.tokens.platform-api": {"started": STARTED, "previous": OLD},
        "nomad.management_token": {"started": STARTED, "next": NEW, "replaces": OLD},
        "nomad.ca": {"started": STARTED},
    }
    secrets = {"rotations": rotations, "rotated": {"nomad.tokens.operator": STARTED}}
    found = nomad_tokens(tmp_path, "promote", federation_secrets=secrets)
    assert found["due"] == ["operator"]
    assert set(found["secrets"]["tokens"]) == {"platform-api"}
    assert "management_token" in found["secrets"]
    # What others still use outlives the run.
    found = nomad_tokens(tmp_path, "finish", federation_secrets=secrets, rotation_minimum_age_days=36500)
    assert found["due"] == []
    assert found["secrets"]["tokens"] == {}
    found = nomad_tokens(tmp_path, "finish", federation_secrets=secrets, rotation_revoke_handed_over=True)
    assert set(found["secrets"]["tokens"]) == {"platform-api"}
    assert found["due"] == []


def test_options_from_the_command_line_are_text(tmp_path: Path) -> None:
    given = {"federation_secrets": {}, "rotation_minimum_age_days": "1.5", "rotation_revoke_handed_over": "false"}
    expressions = {"age": "_rotation_minimum_age", "since": "_rotation_recent_since", "revoking": "_rotation_revoking"}
    found = evaluate("rotation", tmp_path, given, **expressions)
    assert (found["age"], found["revoking"]) == (129600.0, False)
    since = datetime.datetime.fromisoformat(found["since"])
    ago = datetime.datetime.now(datetime.UTC) - since
    assert abs(ago.total_seconds() - 129600) < 120
    # Whoever was rotated an hour ago is left as it is, and nothing else.
    hour = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)).isoformat(timespec="seconds")
    rotated = {"nomad.tokens.operator": hour, "nomad.management_token": "2020-01-01T00:00:00+00:00"}
    given = {"federation_secrets": {"rotated": rotated}, "rotation_minimum_age_days": "1"}
    assert nomad_tokens(tmp_path, "begin", **given)["due"] == ["platform-api", "management"]


def test_nomad_tokens_change_their_names(tmp_path: Path) -> None:
    rotations = {
        "nomad.tokens.operator": {"started": STARTED, "next": NEW, "replaces": OLD},
        "nomad.tokens.platform-api": {"started": STARTED, "previous": REPLACED},
        "nomad.gossip_key": {"started": STARTED, "next": "k", "replaces": "j"},
    }
    found = evaluate(
        "nomad",
        tmp_path,
        {
            "federation_secrets": {"rotations": rotations},
            "federation_vos": [],
            "nomad_tokens_due": ["platform-api", "management"],
        },
        made="_nomad_next_tokens",
        renamed="_nomad_renamed_tokens",
        revoked="_nomad_revoked_tokens",
    )
    assert found["made"] == [
        {"name": "platform-api-next", "type": "client", "policies": ["platform-api"]},
        {"name": "management-next", "type": "management"},
    ]
    assert found["renamed"] == [
        {"name": "operator-previous", "secret_id": OLD},
        {"name": "operator", "secret_id": NEW},
    ]
    assert found["revoked"] == [{"name": "platform-api-previous", "secret_id": REPLACED, "state": "absent"}]
    kept = evaluate(
        "nomad",
        tmp_path,
        {"federation_secrets": {"rotations": rotations}, "nomad_tokens_kept": ["platform-api"]},
        revoked="_nomad_revoked_tokens",
        kept="_nomad_kept_tokens",
    )
    assert kept == {"revoked": [], "kept": ["platform-api"]}


def test_consul_tokens(tmp_path: Path) -> None:
    prefix = "sites.ifca-imagine."
    rotations = {
        f"{prefix}consul_tokens.localhost.agent": {"next": NEW, "replaces": OLD},
        f"{prefix}consul_tokens.localhost.nomad": {"previous": REPLACED},
        f"{prefix}consul_management_token": {"next": REPLACED, "replaces": OLD},
        f"{prefix}consul_gossip_key": {"previous": "k"},
        "sites.other.consul_tokens.localhost.nomad": {"previous": "of another site"},
    }
    tokens = {"agent": OLD, "nomad": NEW, "traefik": OLD}
    secrets = {"sites": {"ifca-imagine": {"consul_tokens": {"localhost": tokens}}}, "rotations": rotations}
    found = evaluate(
        "consul",
        tmp_path,
        {
            "site_name": "ifca-imagine",
            "federation_secrets": secrets,
            "_consul_site_nodes": ["localhost"],
            "_consul_workload_nodes": [],
        },
        present="_consul_tokens",
        following="_consul_next_tokens",
        revoked="_consul_revoked_secrets",
        gossip="_consul_gossip_rotation",
    )
    assert [token["secret_id"] for token in found["present"]] == [OLD, NEW]
    assert [(token["description"], token["secret_id"]) for token in found["following"]] == [
        ("agent on localhost", NEW),
        ("management", REPLACED),
    ]
    assert found["following"][0]["node_identities"] == ["localhost"]
    assert found["following"][1]["policies"] == ["global-management"]
    assert found["revoked"] == [REPLACED]
    assert found["gossip"] == {"previous": "k"}


def test_new_keys_are_asked_for_since_the_rotation_began(tmp_path: Path) -> None:
    secrets = {"rotations": {"certificates.localhost": {"started": STARTED}}}
    found = evaluate(
        "certificates",
        tmp_path,
        {"federation_secrets": secrets},
        since="_certificates_not_before",
        back="_certificates_backdated",
    )
    assert found == {"since": "2026-11-25T03:00:00+00:00", "back": 3600}
    assert evaluate("certificates", tmp_path, {"federation_secrets": {}}, since="_certificates_not_before") == {
        "since": ""
    }


TRUSTED, SWITCHED, SETTLED = {"next": "n"}, {"previous": "p"}, {"previous": "p", "settled": True}
BOTH = ["ingress.ca", "nomad.ca"]


def followed(directory: Path, rotations: dict[str, Any], **variables: Any) -> tuple[list[str], str]:
    """The authorities that sites that joined have to follow with, and where that needs the next stop."""
    entries = {name: {"started": STARTED, **entry} for name, entry in rotations.items()}
    secrets = {"rotations": entries, "rotated": variables.pop("rotated", {})}
    given = {"_rotation_whole": True, "federation_secrets": secrets, **variables}
    found = evaluate("rotation", directory, given, names="_rotation_followed", stop="_rotation_next_stop | trim")
    return sorted(found["names"]), found["stop"]


@pytest.mark.parametrize(
    ("nomad", "ingress", "stop"),
    [
        (None, None, "trust"),
        (TRUSTED, TRUSTED, "switch"),
        # Promoted by a run that was interrupted: nobody knows yet who has certificates of the new authority.
        (SWITCHED, SWITCHED, "switch"),
        (SETTLED, SETTLED, ""),
        ({**SETTLED, "retired": True}, {**SETTLED, "retired": True}, ""),
        # The one that is least far says it.
        (SETTLED, None, "trust"),
        (SETTLED, SWITCHED, "switch"),
    ],
)
def test_where_sites_that_joined_have_to_follow(
    tmp_path: Path, nomad: dict[str, Any] | None, ingress: dict[str, Any] | None, stop: str
) -> None:
    rotations = {name: entry for name, entry in zip(BOTH, (ingress, nomad), strict=True) if entry}
    assert followed(tmp_path, rotations) == (BOTH, stop)


@pytest.mark.parametrize(
    ("parts", "rotations", "expected"),
    [
        (["ingress"], {}, (["ingress.ca"], "trust")),
        (["ingress", "consul"], {"ingress.ca": TRUSTED}, (["ingress.ca"], "switch")),
        (["ingress"], {"ingress.ca": SETTLED, "nomad.ca": TRUSTED}, (["ingress.ca"], "")),
        # What is a site's own is no matter of others.
        (["consul", "management"], {"nomad.ca": TRUSTED}, ([], "")),
    ],
)
def test_sites_that_joined_follow_with_what_is_replaced(
    tmp_path: Path, parts: list[str], rotations: dict[str, Any], expected: tuple[list[str], str]
) -> None:
    assert followed(tmp_path, rotations, rotation_parts=parts) == expected


def test_sites_that_joined_do_not_follow_with_what_is_young(tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    old = "2020-01-01T00:00:00+00:00"
    young = {"rotation_minimum_age_days": "1"}
    assert followed(tmp_path, {}, rotated={"nomad.ca": now, "ingress.ca": old}, **young) == (["ingress.ca"], "trust")
    assert followed(tmp_path, {}, rotated={"nomad.ca": now, "ingress.ca": now}, **young) == ([], "")
    # What has begun goes on.
    rotations = {"ingress.ca": TRUSTED}
    assert followed(tmp_path, rotations, rotated=dict.fromkeys(BOTH, now), **young) == (["ingress.ca"], "switch")
