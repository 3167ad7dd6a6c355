# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policies, roles, tokens, auth methods and binding rules of Nomad's ACL system."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json, ObjectError
from ansible_collections.imagine.platform.plugins.module_utils.durations import duration, nanoseconds, normal
from ansible_collections.imagine.platform.plugins.module_utils.nomad import NomadClient, NomadError, segment
from ansible_collections.imagine.platform.plugins.module_utils.nomad_objects import (
    ListedObjects,
    NomadObjects,
    check_description,
    check_name,
    chosen,
)

# Policies

JOB_ACL = {
    "namespace": {"type": "str"},
    "job_id": {"type": "str"},
    "group": {"type": "str"},
    "task": {"type": "str"},
}
JOB_ACL_NAMES = {"namespace": "Namespace", "job_id": "JobID", "group": "Group", "task": "Task"}
POLICY_FIELDS: Json = {
    "name": {"type": "str"},
    "description": {"type": "str"},
    "rules": {"type": "str"},
    "job_acl": {"type": "dict", "options": JOB_ACL},
}


def policy_hash(name: str, state: Mapping[str, Any]) -> str:
    """Nomad's own hash of a policy, which its list shows in place of the rules."""
    parts = [name, state["description"], state["rules"]]
    parts.extend(state["job_acl"].get(part, "") for part in JOB_ACL_NAMES)
    return base64.b64encode(hashlib.blake2b("".join(parts).encode(), digest_size=32).digest()).decode()


def policy_state(raw: Mapping[str, Any]) -> Json:
    """The comparable part of a policy as Nomad returns it."""
    job_acl = raw.get("JobACL") or {}
    return {
        "description": raw.get("Description") or "",
        "rules": raw.get("Rules") or "",
        "job_acl": {ours: job_acl[theirs] for ours, theirs in JOB_ACL_NAMES.items() if job_acl.get(theirs)},
    }


class Policies(NomadObjects):
    """ACL policies."""

    noun = "ACL policy"

    def validate(self, item: Mapping[str, Any]) -> None:
        check_name(item["name"], "an ACL policy")
        check_description(item, f"ACL policy '{item['name']}'")
        given = {name: value for name, value in (item["job_acl"] or {}).items() if value}
        for part, needed in (("job_id", "namespace"), ("group", "job_id"), ("task", "group")):
            if part in given and needed not in given:
                raise ObjectError(
                    f"ACL policy '{item['name']}' has job_acl with {part} but no {needed}: give {needed} as well."
                )

    def _list(self) -> list[Json]:
        return self.client.get_list("acl/policies", "listing the ACL policies")

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        if len(items) == 1:
            return self._read_each([items[0]["name"]])
        listed = {stub["Name"]: stub for stub in self._list()}
        states: dict[str, Json] = {}
        unknown = []
        for item in items:
            stub = listed.get(item["name"])
            if stub is None:
                continue
            # The list has no rules but a hash over them: what matches it need not be read.
            guess = self.wanted(item, policy_state(stub)) if item["rules"] else None
            if guess and policy_hash(item["name"], guess) == stub.get("Hash"):
                states[item["name"]] = guess
            else:
                unknown.append(item["name"])
        states.update(self._read_each(unknown))
        return states

    def _read_each(self, names: Sequence[str]) -> dict[str, Json]:
        states = {}
        for name in names:
            raw = self.client.get_object(f"acl/policy/{segment(name)}", f"reading ACL policy '{name}'")
            if raw is not None:
                states[name] = policy_state(raw)
        return states

    def find(self, names: Sequence[str] | None) -> list[Json]:
        if names is None:
            names = [str(stub["Name"]) for stub in self._list()]
        return [{"name": name, **state} for name, state in sorted(self._read_each(sorted(set(names))).items())]

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        if not item["rules"] and (current is None or item["rules"] is not None):
            raise ObjectError(f"ACL policy '{item['name']}' has no rules: give them in the option rules.")
        state = dict(current or {"description": "", "rules": "", "job_acl": {}})
        if item["description"] is not None:
            state["description"] = item["description"]
        if item["rules"] is not None and item["rules"].strip() != state["rules"].strip():
            state["rules"] = item["rules"]
        if item["job_acl"] is not None:
            state["job_acl"] = {name: value for name, value in item["job_acl"].items() if value}
        return state

    def put(self, item: Mapping[str, Any], wanted: Json, doing: str) -> Json | None:
        name = item["name"]
        body: Json = {"Name": name, "Description": wanted["description"], "Rules": wanted["rules"]}
        if wanted["job_acl"]:
            body["JobACL"] = {JOB_ACL_NAMES[part]: value for part, value in wanted["job_acl"].items()}
        self.post(f"acl/policy/{segment(name)}", doing, body)
        return None

    def delete(self, item: Mapping[str, Any], current: Json) -> None:
        self.remove(f"acl/policy/{segment(item['name'])}", item)


# Roles

ROLE_FIELDS: Json = {
    "name": {"type": "str"},
    "description": {"type": "str"},
    "policies": {"type": "list", "elements": "str"},
}


class Roles(ListedObjects):
    """ACL roles; tokens and binding rules name them, Nomad knows them by an ID of its own."""

    noun = "ACL role"
    list_path = "acl/roles"
    remedies: Mapping[str, str] = {"cannot find policy": "make the policy first with nomad_acl_policy"}

    def validate(self, item: Mapping[str, Any]) -> None:
        check_name(item["name"], "an ACL role")
        check_description(item, f"ACL role '{item['name']}'")

    def state(self, raw: Mapping[str, Any]) -> Json:
        return {
            "description": raw.get("Description") or "",
            "policies": sorted(link["Name"] for link in raw.get("Policies") or []),
        }

    def extras(self, raw: Mapping[str, Any]) -> Json:
        return {"id": raw["ID"]}

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        state = dict(current or {"description": "", "policies": []})
        if item["description"] is not None:
            state["description"] = item["description"]
        if item["policies"] is not None:
            state["policies"] = sorted(set(item["policies"]))
        if not state["policies"]:
            raise ObjectError(f"ACL role '{item['name']}' has no policies: give at least one in the option policies.")
        return state

    def put(self, item: Mapping[str, Any], wanted: Json, doing: str) -> Json | None:
        policies: list[Json] = [{"Name": name} for name in wanted["policies"]]
        body: Json = {"Name": item["name"], "Description": wanted["description"], "Policies": policies}
        raw = self.raw.get(item["name"])
        if raw is not None:
            body["ID"] = raw["ID"]
        path = f"acl/role/{segment(raw['ID'])}" if raw else "acl/role"
        made = self.post(path, doing, body, gone=("already exists", "cannot find role"))
        return {"id": made["ID"]}

    def delete(self, item: Mapping[str, Any], current: Json) -> None:
        self.remove(f"acl/role/{segment(self.raw[item['name']]['ID'])}", item)

    def details(self, item: Mapping[str, Any], state: Json) -> Json:
        raw = self.raw.get(item["name"])
        return self.extras(raw) if raw else {}


# Tokens

TOKEN_FIELDS: Json = {
    "name": {"type": "str"},
    "accessor_id": {"type": "str"},
    "secret_id": {"type": "str", "no_log": True},
    "type": {"type": "str", "choices": ["client", "management"]},
    "policies": {"type": "list", "elements": "str"},
    "roles": {"type": "list", "elements": "str"},
    "global": {"type": "bool"},
    "expiration_ttl": {"type": "str"},
}


def token_state(raw: Mapping[str, Any], role_names: Mapping[str, str]) -> Json:
    """The comparable part of a token as Nomad's list returns it, which has only IDs of roles."""
    return {
        "name": raw["Name"],
        "type": raw["Type"],
        "policies": sorted(raw.get("Policies") or []),
        "roles": sorted(role_names[link["ID"]] for link in raw.get("Roles") or [] if link["ID"] in role_names),
        "global": bool(raw.get("Global")),
    }


def token_expiry(raw: Mapping[str, Any]) -> str | None:
    """When the life of a token ends, None for never."""
    stamp = raw.get("ExpirationTime")
    return None if not stamp or stamp.startswith("0001-") else str(stamp)


def expired(raw: Mapping[str, Any], now: datetime) -> bool:
    """Whether the life of a token is over; Nomad removes such tokens only after a while."""
    stamp = token_expiry(raw)
    if stamp is None:
        return False
    return datetime.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc) <= now


class Tokens(NomadObjects):
    """ACL tokens; one request reads them all."""

    noun = "ACL token"
    remedies: Mapping[str, str] = {
        "cannot find role": "make the role first with nomad_acl_role",
        "expiration": "choose an expiration_ttl within the limits of the servers",
    }

    def __init__(self, client: NomadClient, return_secrets: bool = False) -> None:
        super().__init__(client)
        self.return_secrets = return_secrets

    def validate(self, item: Mapping[str, Any]) -> None:
        if not 1 <= len(item["name"]) <= 256:
            raise ObjectError(f"'{item['name']}' cannot be the name of a token: use 1 to 256 characters.")
        if item["accessor_id"] and item["secret_id"]:
            raise ObjectError(f"Token '{item['name']}' has both accessor_id and secret_id: give one of them.")
        if item["type"] == "management" and (item["policies"] or item["roles"]):
            raise ObjectError(
                f"Token '{item['name']}' is of type management, which has all rights: leave policies and roles out."
            )
        ttl = item["expiration_ttl"]
        if ttl and not nanoseconds(ttl):
            raise ObjectError(
                f"Token '{item['name']}' has expiration_ttl '{ttl}', which is no duration: write it as 30m or 8h."
            )

    def _list(self) -> list[Json]:
        return self.client.get_list("acl/tokens", "listing the ACL tokens")

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        now = datetime.now(timezone.utc)
        alive = [raw for raw in self._list() if not expired(raw, now)]
        states: dict[str, Json] = {}
        for item in items:
            self.raw.pop(item["name"], None)
            raw = self._match(item, alive)
            if raw is not None:
                self.raw[item["name"]] = raw
                states[item["name"]] = raw
        role_names = self._role_names(list(states.values()))
        return {name: token_state(raw, role_names) for name, raw in states.items()}

    def _role_names(self, tokens: Sequence[Json]) -> dict[str, str]:
        """Names of roles by ID, where a token has any; roles that were deleted are left out, as Nomad does."""
        if not any(raw.get("Roles") for raw in tokens):
            return {}
        return {raw["ID"]: raw["Name"] for raw in self.client.get_list("acl/roles", "listing the ACL roles")}

    def _match(self, item: Mapping[str, Any], alive: Sequence[Json]) -> Json | None:
        if item["secret_id"]:
            accessor = self._accessor(item["name"], item["secret_id"])
            found = [raw for raw in alive if raw["AccessorID"] == accessor]
            if not found and item["state"] == "present":
                raise ObjectError(
                    f"secret_id of token '{item['name']}' is that of no token, and Nomad chooses secrets itself: leave "
                    "secret_id out to create the token."
                )
        elif item["accessor_id"]:
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

    def _accessor(self, name: str, secret: str) -> str | None:
        """The accessor of the token with a secret; None where there is no such token."""
        doing = f"looking for ACL token '{name}' by its secret"
        try:
            return str(self.client.with_token(secret).get("acl/token/self", doing)["AccessorID"])
        except NomadError as error:
            if error.kind in ("auth", "not_found"):
                return None
            raise

    def find(self, names: Sequence[str] | None) -> list[Json]:
        now = datetime.now(timezone.utc)
        tokens = chosen(self._list(), names)
        role_names = self._role_names(tokens)
        return [
            {
                **token_state(raw, role_names),
                "accessor_id": raw["AccessorID"],
                "created": raw["CreateTime"],
                "expires": token_expiry(raw),
                "expired": expired(raw, now),
            }
            for raw in tokens
        ]

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

    def put(self, item: Mapping[str, Any], wanted: Json, doing: str) -> Json | None:
        roles: list[Json] = [{"Name": name} for name in wanted["roles"]]
        body: Json = {
            "Name": wanted["name"],
            "Type": wanted["type"],
            "Policies": wanted["policies"],
            "Roles": roles,
            "Global": wanted["global"],
        }
        raw = self.raw.get(item["name"])
        if raw is None:
            if item["expiration_ttl"]:
                body["ExpirationTTL"] = item["expiration_ttl"]
            return self._known(self.post("acl/token", doing, body))
        accessor = raw["AccessorID"]
        body["AccessorID"] = accessor
        # Nomad refuses an update whose expiry differs from the stored one, and lists no TTL.
        full = self._read(item["name"], accessor)
        for field in ("ExpirationTTL", "ExpirationTime"):
            if full.get(field):
                body[field] = full[field]
        self.post(f"acl/token/{segment(accessor)}", doing, body, gone=("cannot find token",))
        return None

    def delete(self, item: Mapping[str, Any], current: Json) -> None:
        self.remove(f"acl/token/{segment(self.raw[item['name']]['AccessorID'])}", item)

    def details(self, item: Mapping[str, Any], state: Json) -> Json:
        raw = self.raw.get(item["name"])
        if raw is None:
            return {}
        accessor = raw["AccessorID"]
        return self._known(self._read(item["name"], accessor) if self.return_secrets else raw)

    def _read(self, name: str, accessor: str) -> Json:
        doing = f"reading ACL token '{name}'"
        found = self.client.get_object(f"acl/token/{segment(accessor)}", doing)
        if found is None:
            raise NomadError(
                f"ACL token '{name}' was deleted by somebody else while {doing}: run again.", "conflict", 404
            )
        return found

    def _known(self, raw: Mapping[str, Any]) -> Json:
        known = {"accessor_id": raw["AccessorID"]}
        if self.return_secrets:
            known["secret_id"] = raw["SecretID"]
        return known


# Auth methods

#: options of the configuration, their form, and what Nomad calls them
METHOD_CONFIG: dict[str, tuple[str, str]] = {
    "oidc_discovery_url": ("str", "OIDCDiscoveryURL"),
    "oidc_client_id": ("str", "OIDCClientID"),
    "oidc_scopes": ("list", "OIDCScopes"),
    "oidc_enable_pkce": ("bool", "OIDCEnablePKCE"),
    "oidc_disable_userinfo": ("bool", "OIDCDisableUserInfo"),
    "jwks_url": ("str", "JWKSURL"),
    "jwks_ca_cert": ("str", "JWKSCACert"),
    "jwt_validation_pub_keys": ("list", "JWTValidationPubKeys"),
    "discovery_ca_certs": ("list", "DiscoveryCaPem"),
    "allowed_redirect_uris": ("list", "AllowedRedirectURIs"),
    "bound_audiences": ("list", "BoundAudiences"),
    "bound_issuers": ("list", "BoundIssuer"),
    "signing_algorithms": ("list", "SigningAlgs"),
    "claim_mappings": ("dict", "ClaimMappings"),
    "list_claim_mappings": ("dict", "ListClaimMappings"),
    "expiration_leeway": ("duration", "ExpirationLeeway"),
    "not_before_leeway": ("duration", "NotBeforeLeeway"),
    "clock_skew_leeway": ("duration", "ClockSkewLeeway"),
    "verbose_logging": ("bool", "VerboseLogging"),
}
# Their order says nothing.
METHOD_SETS = ("oidc_scopes", "allowed_redirect_uris", "bound_audiences", "bound_issuers", "signing_algorithms")
_EMPTY: dict[str, Any] = {"str": "", "bool": False, "list": [], "dict": {}, "duration": "0s"}
METHOD_FIELDS: Json = {
    "name": {"type": "str"},
    "type": {"type": "str", "choices": ["OIDC", "JWT"]},
    "token_locality": {"type": "str", "choices": ["local", "global"]},
    "token_name_format": {"type": "str", "no_log": False},
    "max_token_ttl": {"type": "str", "no_log": False},
    "default": {"type": "bool"},
    "oidc_client_secret": {"type": "str", "no_log": True},
    "oidc_client_assertion": {
        "type": "dict",
        "options": {
            "key_source": {"type": "str", "choices": ["nomad", "private_key", "client_secret"], "no_log": False},
            "audience": {"type": "list", "elements": "str"},
            "key_algorithm": {"type": "str", "no_log": False},
            "extra_headers": {"type": "dict"},
            "pem_key": {"type": "str", "no_log": True},
            "pem_key_file": {"type": "str", "no_log": False},
            "pem_cert": {"type": "str"},
            "pem_cert_file": {"type": "str"},
            "key_id": {"type": "str", "no_log": False},
            "key_id_header": {"type": "str", "choices": ["kid", "x5t", "x5t#S256"], "no_log": False},
        },
    },
    **{
        name: {"type": "list", "elements": "str", "no_log": False}
        if form == "list"
        else {"type": {"duration": "str"}.get(form, form), "no_log": False}
        for name, (form, _theirs) in METHOD_CONFIG.items()
    },
}
METHOD_DEFAULTS = {"token_name_format": "${auth_method_type}-${auth_method_name}"}
# All that is said of a secret.
SET, SET_ANEW = "set", "set anew"
ASSERTION_KEY = {
    "pem_key_file": "PemKeyFile",
    "pem_cert": "PemCert",
    "pem_cert_file": "PemCertFile",
    "key_id": "KeyID",
    "key_id_header": "KeyIDHeader",
}


def _config_value(name: str, form: str, value: Any) -> Any:
    if value is None:
        return _EMPTY[form]
    if form == "duration":
        return normal(value)
    if form == "dict":
        return {str(key): str(text) for key, text in value.items()}
    return sorted(set(value)) if name in METHOD_SETS else value


def assertion_state(raw: Mapping[str, Any] | None) -> Json | None:
    """The comparable part of a client assertion as Nomad returns it, which is without its keys."""
    if not raw or not raw.get("KeySource"):
        return None
    key = raw.get("PrivateKey") or {}
    return {
        "key_source": raw["KeySource"],
        "audience": list(raw.get("Audience") or []),
        "key_algorithm": raw.get("KeyAlgorithm") or "",
        "extra_headers": dict(raw.get("ExtraHeaders") or {}),
        **{ours: key.get(theirs) or "" for ours, theirs in ASSERTION_KEY.items()},
    }


def method_state(raw: Mapping[str, Any]) -> Json:
    """The comparable part of an auth method as Nomad returns it, which is without its secrets."""
    config = raw.get("Config") or {}
    return {
        "type": raw.get("Type") or "",
        "token_locality": raw.get("TokenLocality") or "local",
        "token_name_format": raw.get("TokenNameFormat") or METHOD_DEFAULTS["token_name_format"],
        "max_token_ttl": normal(raw.get("MaxTokenTTL")),
        "default": bool(raw.get("Default")),
        **{name: _config_value(name, form, config.get(theirs)) for name, (form, theirs) in METHOD_CONFIG.items()},
        "oidc_client_assertion": assertion_state(config.get("OIDCClientAssertion")),
        "secrets": _kept_secrets(config),
    }


def _kept_secrets(config: Mapping[str, Any]) -> Json:
    """The options whose secret Nomad keeps for an auth method, and shows to nobody."""
    key = (config.get("OIDCClientAssertion") or {}).get("PrivateKey") or {}
    found = {"oidc_client_secret": config.get("OIDCClientSecret"), "pem_key": key.get("PemKey")}
    return {option: SET for option, value in found.items() if value}


def given_secrets(item: Mapping[str, Any]) -> Json:
    """The secrets that the options hold, by the name of the option; an empty one is to be taken away."""
    assertion = item["oidc_client_assertion"] or {}
    found = {"oidc_client_secret": item["oidc_client_secret"], "pem_key": assertion.get("pem_key")}
    return {option: value for option, value in found.items() if value is not None}


class AuthMethods(NomadObjects):
    """Auth methods. Nomad redacts their secrets, so that secrets are written and never compared."""

    noun = "ACL auth method"
    remedies: Mapping[str, str] = {
        "default method already exists": "take default from that auth method first",
        "MaxTokenTTL": "choose a max_token_ttl within the limits of the servers",
    }

    def __init__(self, client: NomadClient, update_secrets: bool = False) -> None:
        super().__init__(client)
        self.update_secrets = update_secrets

    def validate(self, item: Mapping[str, Any]) -> None:
        name = item["name"]
        check_name(name, "an ACL auth method")
        for option in ("max_token_ttl", "expiration_leeway", "not_before_leeway", "clock_skew_leeway"):
            value = item[option]
            if value is not None and nanoseconds(value.removeprefix("-") if "leeway" in option else value) is None:
                raise ObjectError(
                    f"ACL auth method '{name}' has {option} '{value}', which is no duration: write it as 30m or 8h."
                )

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        names = [item["name"] for item in items]
        if len(names) > 1:
            known = {stub["Name"] for stub in self._list()}
            names = [name for name in names if name in known]
        return {name: method_state(raw) for name, raw in self._read_each(names).items()}

    def _list(self) -> list[Json]:
        return self.client.get_list("acl/auth-methods", "listing the ACL auth methods")

    def _read_each(self, names: Sequence[str]) -> dict[str, Json]:
        found = {}
        for name in names:
            self.raw.pop(name, None)
            raw = self.client.get_object(f"acl/auth-method/{segment(name)}", f"reading ACL auth method '{name}'")
            if raw is not None:
                found[name] = self.raw[name] = raw
        return found

    def find(self, names: Sequence[str] | None) -> list[Json]:
        if names is None:
            names = [str(stub["Name"]) for stub in self._list()]
        found = self._read_each(sorted(set(names)))
        return [{"name": name, **method_state(raw)} for name, raw in found.items()]

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        state = dict(current or method_state({}))
        name = item["name"]
        for option in ("type", "token_locality", "token_name_format", "default"):
            if item[option] is not None:
                state[option] = item[option]
        if item["max_token_ttl"] is not None:
            state["max_token_ttl"] = duration(nanoseconds(item["max_token_ttl"]) or 0)
        for option, (form, _theirs) in METHOD_CONFIG.items():
            if item[option] is not None:
                state[option] = _config_value(option, form, item[option])
        if item["oidc_client_assertion"] is not None:
            state["oidc_client_assertion"] = self._assertion(name, item["oidc_client_assertion"], state)
        state["secrets"] = self._secrets(item, state)
        self._check(name, state, current)
        if current is not None and self._config_changes(current, state):
            self._check_secrets(item, state)
        return state

    def _secrets(self, item: Mapping[str, Any], state: Json) -> Json:
        """What becomes of the secrets."""
        secrets = dict(state["secrets"])
        for option, value in given_secrets(item).items():
            if not value:
                secrets.pop(option, None)
            else:
                secrets[option] = SET_ANEW if self.update_secrets and option in secrets else SET
        assertion = state["oidc_client_assertion"]
        if not assertion or assertion["key_source"] != "private_key" or assertion["pem_key_file"]:
            secrets.pop("pem_key", None)
        return secrets

    @staticmethod
    def _check_secrets(item: Mapping[str, Any], state: Json) -> None:
        missing = sorted(set(state["secrets"]) - set(given_secrets(item)))
        if missing:
            raise ObjectError(
                f"The configuration of ACL auth method '{item['name']}' changes, and Nomad, which shows "
                f"{' and '.join(missing)} to nobody, would lose it: give {' and '.join(missing)} as well."
            )

    @staticmethod
    def _assertion(name: str, given: Mapping[str, Any], state: Json) -> Json | None:
        source = given["key_source"]
        if not source:
            if any(value is not None for value in given.values()):
                raise ObjectError(
                    f"oidc_client_assertion of ACL auth method '{name}' has no key_source: say where the key is from."
                )
            return None
        header = "kid" if given["key_id"] else "x5t#S256" if given["pem_cert"] or given["pem_cert_file"] else ""
        return {
            "key_source": source,
            # Nomad fills in the same where nothing is given.
            "audience": given["audience"] or [state["oidc_discovery_url"]],
            "key_algorithm": given["key_algorithm"] or ("HS256" if source == "client_secret" else "RS256"),
            "extra_headers": given["extra_headers"] or {},
            **{option: given[option] or "" for option in ASSERTION_KEY},
            "key_id_header": given["key_id_header"] or header,
        }

    @staticmethod
    def _check(name: str, state: Json, current: Json | None) -> None:
        if current and state["type"] != current["type"]:
            raise ObjectError(
                f"ACL auth method '{name}' is of type {current['type']}, and its configuration would make no sense as "
                f"{state['type']}: delete it first or correct type."
            )
        missing = [] if state["type"] else ["type"]
        if not nanoseconds(state["max_token_ttl"]):
            missing.append("max_token_ttl")
        if state["type"] == "OIDC":
            missing += [option for option in ("oidc_discovery_url", "oidc_client_id") if not state[option]]
        if missing:
            raise ObjectError(f"ACL auth method '{name}' has no {' and no '.join(missing)}: give it.")
        if state["type"] == "JWT":
            sources = ("oidc_discovery_url", "jwks_url", "jwt_validation_pub_keys")
            if not any(state[option] for option in sources):
                raise ObjectError(
                    f"ACL auth method '{name}' has no keys to check tokens with: give one of {', '.join(sources)}."
                )

    def put(self, item: Mapping[str, Any], wanted: Json, doing: str) -> Json | None:
        name = item["name"]
        raw = self.raw.get(name)
        body: Json = {
            "Name": name,
            "Type": wanted["type"],
            "TokenLocality": wanted["token_locality"],
            "TokenNameFormat": wanted["token_name_format"],
            "MaxTokenTTL": wanted["max_token_ttl"],
            "Default": wanted["default"],
        }
        # Nomad keeps a configuration that is left out, with its secrets, and replaces another one as a whole.
        if raw is None or self._config_changes(method_state(raw), wanted):
            body["Config"] = self._config(item, wanted, raw or {})
        self.post(f"acl/auth-method/{segment(name)}" if raw else "acl/auth-method", doing, body)
        return None

    @staticmethod
    def _config_changes(have: Json, wanted: Json) -> bool:
        return any(wanted[option] != have[option] for option in (*METHOD_CONFIG, "oidc_client_assertion", "secrets"))

    @staticmethod
    def _config(item: Mapping[str, Any], wanted: Json, raw: Mapping[str, Any]) -> Json:
        secrets = {option: value for option, value in given_secrets(item).items() if option in wanted["secrets"]}
        assertion = wanted["oidc_client_assertion"]
        kept = {
            name: value
            for name, value in (raw.get("Config") or {}).items()
            if name not in ("OIDCClientSecret", "OIDCClientAssertion")
        }
        config = {**kept, **{theirs: wanted[option] for option, (_form, theirs) in METHOD_CONFIG.items()}}
        if "oidc_client_secret" in secrets:
            config["OIDCClientSecret"] = secrets["oidc_client_secret"]
        if assertion:
            key = {theirs: assertion[ours] for ours, theirs in ASSERTION_KEY.items() if assertion[ours]}
            if "pem_key" in secrets:
                key["PemKey"] = secrets["pem_key"]
            config["OIDCClientAssertion"] = {
                "KeySource": assertion["key_source"],
                "Audience": assertion["audience"],
                "KeyAlgorithm": assertion["key_algorithm"],
                "ExtraHeaders": assertion["extra_headers"],
                "PrivateKey": key or None,
            }
        return config

    def delete(self, item: Mapping[str, Any], current: Json) -> None:
        self.remove(f"acl/auth-method/{segment(item['name'])}", item)


# Binding rules

RULE_FIELDS: Json = {
    "id": {"type": "str"},
    "auth_method": {"type": "str"},
    "bind_type": {"type": "str", "choices": ["role", "policy", "management"]},
    "bind_name": {"type": "str"},
    "selector": {"type": "str"},
    "description": {"type": "str"},
}
_RULE_NAMES = {
    "auth_method": "AuthMethod",
    "bind_type": "BindType",
    "bind_name": "BindName",
    "selector": "Selector",
    "description": "Description",
}
# What tells rules without an ID apart.
RULE_KEY = ("auth_method", "bind_type", "bind_name", "selector")


def rule_state(raw: Mapping[str, Any]) -> Json:
    """The comparable part of a binding rule as Nomad returns it."""
    state = {ours: raw.get(theirs) or "" for ours, theirs in _RULE_NAMES.items()}
    return {**state, "selector": state["selector"].strip()}


class BindingRules(NomadObjects):
    """Binding rules. They have no name: auth method, bind type, bind name and selector together tell them apart."""

    noun = "ACL binding rule"
    remedies: Mapping[str, str] = {
        "auth method": "make the auth method first with nomad_acl_auth_method",
        "selector is invalid": 'write it as in "urn:x" in list.entitlements',
    }

    def identify(self, item: Mapping[str, Any]) -> str:
        if item["id"]:
            return str(item["id"])
        name = f" {item['bind_name']}" if item["bind_name"] else ""
        selector = f" if {item['selector'].strip()}" if item["selector"] else ""
        return f"{item['auth_method']}: {item['bind_type']}{name}{selector}"

    def identity(self, item: Mapping[str, Any]) -> Json:
        if item["id"]:
            return {"id": item["id"]}
        return {option: (item[option] or "").strip() for option in RULE_KEY}

    def validate(self, item: Mapping[str, Any]) -> None:
        check_description(item, f"ACL binding rule '{self.identify(item)}'")
        if item["id"]:
            return
        for option in ("auth_method", "bind_type"):
            if not item[option]:
                raise ObjectError(f"An ACL binding rule without id needs {option}: give it.")
        if item["bind_type"] == "management" and item["bind_name"]:
            raise ObjectError(
                f"ACL binding rule '{self.identify(item)}' gives all rights: leave bind_name out, or choose another "
                "bind_type."
            )
        if item["bind_type"] != "management" and not item["bind_name"]:
            raise ObjectError(
                f"ACL binding rule '{self.identify(item)}' has no bind_name: give the name of the {item['bind_type']}."
            )

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        identifiers = {item["id"] for item in items if item["id"]}
        methods = {item["auth_method"] for item in items if not item["id"]}
        rules = self._rules(
            lambda stub: stub["ID"] in identifiers or stub["AuthMethod"] in methods,
        )
        states: dict[str, Json] = {}
        for item in items:
            name = self.identify(item)
            self.raw.pop(name, None)
            raw = self._match(item, rules)
            if raw is not None:
                self.raw[name] = raw
                states[name] = rule_state(raw)
        return states

    def _rules(self, wanted: Any) -> list[Json]:
        """The rules in full; their list leaves out most of it."""
        stubs = self.client.get_list("acl/binding-rules", "listing the ACL binding rules")
        read = (
            self.client.get_object(
                f"acl/binding-rule/{segment(stub['ID'])}", f"reading ACL binding rule '{stub['ID']}'"
            )
            for stub in stubs
            if wanted(stub)
        )
        return [raw for raw in read if raw is not None]

    def _match(self, item: Mapping[str, Any], rules: Sequence[Json]) -> Json | None:
        if item["id"]:
            found = [raw for raw in rules if raw["ID"] == item["id"]]
            if not found and item["state"] == "present":
                raise ObjectError(
                    f"There is no ACL binding rule with the id '{item['id']}', and Nomad chooses IDs itself: leave id "
                    "out to create the rule."
                )
        else:
            key = self.identity(item)
            found = [raw for raw in rules if {**rule_state(raw), **key} == rule_state(raw)]
        if len(found) > 1:
            identifiers = ", ".join(sorted(raw["ID"] for raw in found))
            raise ObjectError(
                f"{len(found)} ACL binding rules are '{self.identify(item)}' ({identifiers}): give id to choose one."
            )
        return found[0] if found else None

    def find(self, names: Sequence[str] | None) -> list[Json]:
        rules = self._rules(lambda stub: names is None or stub["AuthMethod"] in names)
        found = [{"id": raw["ID"], **rule_state(raw)} for raw in rules]
        return sorted(found, key=lambda rule: [rule[option] for option in (*RULE_KEY, "id")])

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        state = dict(current or rule_state({}))
        for option in _RULE_NAMES:
            if item[option] is not None:
                state[option] = item[option] if option == "description" else item[option].strip()
        if current and state["auth_method"] != current["auth_method"]:
            raise ObjectError(
                f"ACL binding rule '{item['id']}' belongs to the auth method '{current['auth_method']}', which Nomad "
                "never changes: delete the rule and make another one."
            )
        if current and state["bind_type"] == "management" != current["bind_type"]:
            raise ObjectError(
                f"ACL binding rule '{item['id']}' binds to a {current['bind_type']}, which Nomad does not change to "
                "management: delete the rule and make another one."
            )
        return state

    def put(self, item: Mapping[str, Any], wanted: Json, doing: str) -> Json | None:
        body = {theirs: wanted[ours] for ours, theirs in _RULE_NAMES.items()}
        raw = self.raw.get(self.identify(item))
        if raw is None:
            made = self.post("acl/binding-rule", doing, body)
            return {"id": made["ID"]}
        body["ID"] = raw["ID"]
        self.post(f"acl/binding-rule/{segment(raw['ID'])}", doing, body, gone=("cannot find binding rule",))
        return None

    def delete(self, item: Mapping[str, Any], current: Json) -> None:
        self.remove(f"acl/binding-rule/{segment(self.raw[self.identify(item)]['ID'])}", item)

    def details(self, item: Mapping[str, Any], state: Json) -> Json:
        raw = self.raw.get(self.identify(item))
        return {"id": raw["ID"]} if raw else {}
