#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_acl_token
short_description: Manage Nomad ACL tokens
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Creates, updates and deletes ACL tokens of Nomad, one by its options or many in one call with O(tokens).
  - Nomad chooses accessor and secret itself, so that a token is recognised by its name. The module refuses to guess
    where two tokens share the name; O(accessor_id) then tells which is meant.
  - Tokens that have expired count as absent.
  - Secrets are returned only with O(return_secrets), and never shown in a diff.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.nomad
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description:
      - Name of the token.
      - Exactly one of O(name) and O(tokens) is required.
    type: str
  accessor_id:
    description:
      - Accessor of an existing token, where the name alone does not tell which is meant or is to be changed.
    type: str
  type:
    description:
      - Whether the token has the rights of its policies and roles, or all rights.
      - V(client) for a new token when not given.
    type: str
    choices: [client, management]
  policies:
    description:
      - Names of the policies of the token, exactly.
      - Kept as they are when not given.
    type: list
    elements: str
  roles:
    description:
      - Names of the ACL roles of the token, exactly.
      - Kept as they are when not given.
    type: list
    elements: str
  global:
    description:
      - Whether the token is replicated to all regions.
      - Cannot be changed later.
    type: bool
  expiration_ttl:
    description:
      - How long a new token is valid, for instance V(8h). Nomad never changes the life of an existing one.
    type: str
  return_secrets:
    description:
      - Whether to return the secrets of tokens that exist. Set C(no_log=true) on a task that does.
    type: bool
    default: false
  state:
    description:
      - Whether the tokens are to exist.
    type: str
    choices: [present, absent]
    default: present
  tokens:
    description:
      - The tokens to manage, where there are several.
    type: list
    elements: dict
    suboptions:
      name:
        description: As O(name).
        type: str
        required: true
      accessor_id:
        description: As O(accessor_id).
        type: str
      type:
        description: As O(type).
        type: str
        choices: [client, management]
      policies:
        description: As O(policies).
        type: list
        elements: str
      roles:
        description: As O(roles).
        type: list
        elements: str
      global:
        description: As O(global).
        type: bool
      expiration_ttl:
        description: As O(expiration_ttl).
        type: str
      state:
        description: Whether this token is to exist; O(state) when not given.
        type: str
        choices: [present, absent]
seealso:
  - module: imagine.platform.nomad_acl_policy
  - module: imagine.platform.nomad_acl_bootstrap
"""

EXAMPLES = r"""
- name: Make a token for the platform API and keep its secret
  imagine.platform.nomad_acl_token:
    name: platform-api
    policies: [api]
    return_secrets: true
  register: api_token
  no_log: true

- name: Manage several tokens in one call
  imagine.platform.nomad_acl_token:
    tokens:
      - name: accounting
        policies: [accounting]
      - name: visitor
        policies: [operators-read]
        expiration_ttl: 8h
      - name: retired
        state: absent
"""

RETURN = r"""
operation:
  description: What was done to the token, or would be in check mode.
  returned: when O(name) is given
  type: str
  sample: create
token:
  description: The token as it is now; empty when absent.
  returned: when O(name) is given
  type: dict
  sample:
    name: platform-api
    accessor_id: 5b7a3a3e-6f3a-4f0c-8a42-0c1c9c1b2d11
    type: client
    policies: [api]
    roles: []
    global: false
    secret_id: only with return_secrets
tokens:
  description: The tokens as they are now, each with the O(ignore:operation) that was done.
  returned: when O(tokens) is given
  type: list
  elements: dict
  sample:
    - name: platform-api
      accessor_id: 5b7a3a3e-6f3a-4f0c-8a42-0c1c9c1b2d11
      type: client
      policies: [api]
      roles: []
      global: false
      operation: create
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json, ObjectError, ObjectType
from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    NomadClient,
    create_object_module,
    run_objects,
    segment,
)

FIELDS: Json = {
    "name": {"type": "str"},
    "accessor_id": {"type": "str"},
    "type": {"type": "str", "choices": ["client", "management"]},
    "policies": {"type": "list", "elements": "str"},
    "roles": {"type": "list", "elements": "str"},
    "global": {"type": "bool"},
    "expiration_ttl": {"type": "str"},
}


def token_state(raw: Mapping[str, Any]) -> Json:
    """The comparable part of a token as Nomad's list returns it."""
    return {
        "name": raw["Name"],
        "type": raw["Type"],
        "policies": sorted(raw.get("Policies") or []),
        "roles": sorted(role["Name"] for role in raw.get("Roles") or []),
        "global": bool(raw.get("Global")),
    }


def expired(raw: Mapping[str, Any], now: datetime) -> bool:
    """Whether the life of a token is over; Nomad removes such tokens only after a while."""
    stamp = raw.get("ExpirationTime")
    if not stamp or stamp.startswith("0001-"):
        return False
    return datetime.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc) <= now


class Tokens(ObjectType):
    """ACL tokens; one request reads them all."""

    def __init__(self, client: NomadClient, return_secrets: bool) -> None:
        self.client = client
        self.return_secrets = return_secrets
        self.raw: dict[str, Json] = {}

    def validate(self, item: Mapping[str, Any]) -> None:
        if not 1 <= len(item["name"]) <= 256:
            raise ObjectError(f"'{item['name']}' cannot be the name of a token: use 1 to 256 characters.")
        if item["type"] == "management" and (item["policies"] or item["roles"]):
            raise ObjectError(
                f"Token '{item['name']}' is of type management, which has all rights: leave policies and roles out."
            )
        ttl = item["expiration_ttl"]
        if ttl and not re.match(r"^([0-9]+(\.[0-9]+)?(ms|h|m|s))+\Z", ttl):
            raise ObjectError(
                f"Token '{item['name']}' has expiration_ttl '{ttl}', which is no duration: write it as 30m or 8h."
            )

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        now = datetime.now(timezone.utc)
        listed = self.client.get("acl/tokens", "listing the ACL tokens") or []
        alive = [raw for raw in listed if not expired(raw, now)]
        states: dict[str, Json] = {}
        for item in items:
            raw = self._match(item, alive)
            if raw is not None:
                self.raw[item["name"]] = raw
                states[item["name"]] = token_state(raw)
        return states

    @staticmethod
    def _match(item: Mapping[str, Any], alive: Sequence[Json]) -> Json | None:
        if item["accessor_id"]:
            found = [raw for raw in alive if raw["AccessorID"] == item["accessor_id"]]
            if not found and item["state"] == "present":
                raise ObjectError(
                    f"accessor_id '{item['accessor_id']}' of token '{item['name']}' does not exist, and Nomad chooses "
                    "accessors itself: leave accessor_id out to create the token."
                )
        else:
            found = [raw for raw in alive if raw["Name"] == item["name"]]
        if len(found) > 1:
            accessors = ", ".join(sorted(raw["AccessorID"] for raw in found))
            raise ObjectError(
                f"{len(found)} tokens have the name '{item['name']}' ({accessors}): give accessor_id to choose one."
            )
        return found[0] if found else None

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        state = dict(current or {"type": "client", "policies": [], "roles": [], "global": False})
        if current and item["global"] is not None and item["global"] != current["global"]:
            raise ObjectError(
                f"Token '{item['name']}' has global={str(current['global']).lower()}, which Nomad never changes: "
                "delete the token first or leave global out."
            )
        state["name"] = item["name"]
        for option in ("type", "global"):
            if item[option] is not None:
                state[option] = item[option]
        for option in ("policies", "roles"):
            if item[option] is not None:
                state[option] = sorted(set(item[option]))
        if state["type"] == "management":
            state.update(policies=[], roles=[])
        elif not state["policies"] and not state["roles"]:
            raise ObjectError(f"Token '{item['name']}' has neither policies nor roles: give it at least one.")
        return state

    def create(self, item: Mapping[str, Any], wanted: Json) -> Json | None:
        body = self._body(wanted)
        if item["expiration_ttl"]:
            body["ExpirationTTL"] = item["expiration_ttl"]
        made = self.client.post("acl/token", f"creating ACL token '{item['name']}'", body)
        return self._known(made)

    def update(self, item: Mapping[str, Any], current: Json, wanted: Json) -> Json | None:
        raw = self.raw[item["name"]]
        accessor = raw["AccessorID"]
        body = {**self._body(wanted), "AccessorID": accessor}
        # Nomad refuses an update whose expiry differs from the stored one, and lists no TTL.
        full = self.client.get(f"acl/token/{segment(accessor)}", f"reading ACL token '{item['name']}'")
        for field in ("ExpirationTTL", "ExpirationTime"):
            if full.get(field):
                body[field] = full[field]
        self.client.post(f"acl/token/{segment(accessor)}", f"updating ACL token '{item['name']}'", body)
        return None

    def delete(self, item: Mapping[str, Any], current: Json) -> None:
        accessor = self.raw[item["name"]]["AccessorID"]
        self.client.delete(f"acl/token/{segment(accessor)}", f"deleting ACL token '{item['name']}'")

    def details(self, item: Mapping[str, Any], state: Json) -> Json:
        raw = self.raw.get(item["name"])
        if raw is None:
            return {}
        if not self.return_secrets:
            return {"accessor_id": raw["AccessorID"]}
        accessor = raw["AccessorID"]
        return self._known(self.client.get(f"acl/token/{segment(accessor)}", f"reading ACL token '{item['name']}'"))

    def _known(self, raw: Mapping[str, Any]) -> Json:
        known = {"accessor_id": raw["AccessorID"]}
        if self.return_secrets:
            known["secret_id"] = raw["SecretID"]
        return known

    @staticmethod
    def _body(wanted: Json) -> Json:
        roles: list[Json] = [{"Name": name} for name in wanted["roles"]]
        return {
            "Name": wanted["name"],
            "Type": wanted["type"],
            "Policies": wanted["policies"],
            "Roles": roles,
            "Global": wanted["global"],
        }


def main() -> None:
    module = create_object_module(
        FIELDS, "token", "tokens", extra_options={"return_secrets": {"type": "bool", "default": False, "no_log": False}}
    )
    run_objects(module, lambda module, client: Tokens(client, module.params["return_secrets"]))


if __name__ == "__main__":
    main()
