#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: consul_acl
short_description: Bring the ACLs of a Consul datacenter to a declared state, in one step
version_added: 0.1.0
description:
  - Bootstraps the ACL system with a secret that was made beforehand, and creates or updates any number of policies,
    roles, tokens, authentication methods and binding rules with a single remote call.
  - O(consul_token) is the secret ID of a management token. It is the secret of the bootstrap where the ACL system has
    none yet.
  - Objects that are not listed are left alone, and so is what this module has no option for, for instance the service
    identities of a role.
  - Works where the C(consul_*) modules of C(community.general) do not, which take one object a call, cannot
    tell whether a bootstrap was made with the given secret, and need C(no_log) on the whole task for a token's secret.
author:
  - imagine.platform contributors (@imagine-platform)
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.consul
attributes:
  check_mode:
    support: full
    details:
      - Where Consul does not answer yet, or O(consul_ca_cert) is not there yet, everything counts as to be created.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  policies:
    description: Policies, identified by name.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the policy.
        type: str
        required: true
      description:
        description: What it is for.
        type: str
        default: ""
      rules:
        description: Rules in HCL or JSON.
        type: str
        required: true
  roles:
    description: Roles, identified by name.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the role.
        type: str
        required: true
      description:
        description: What it is for.
        type: str
        default: ""
      policies:
        description: Names of policies.
        type: list
        elements: str
        default: []
  tokens:
    description: Tokens, identified by accessor ID.
    type: list
    elements: dict
    default: []
    suboptions:
      accessor_id:
        description: Accessor ID, a UUID.
        type: str
        required: true
      secret_id:
        description: Secret ID, a UUID. It cannot be changed once the token exists.
        type: str
        required: true
      description:
        description: What it is for.
        type: str
        default: ""
      policies:
        description: Names of policies.
        type: list
        elements: str
        default: []
      node_identities:
        description: Names of nodes in this datacenter that the token may register.
        type: list
        elements: str
        default: []
      service_identities:
        description: Names of services that the token may register. Those of a token stay where this is not given.
        type: list
        elements: str
  auth_methods:
    description: Authentication methods, identified by name.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the method.
        type: str
        required: true
      type:
        description: Type of the method, for instance V(jwt). It cannot be changed.
        type: str
        required: true
      description:
        description: What it is for.
        type: str
        default: ""
      config:
        description: Settings of the type, under Consul's own names.
        type: dict
        required: true
  binding_rules:
    description: Binding rules, identified by authentication method and description.
    type: list
    elements: dict
    default: []
    suboptions:
      auth_method:
        description: Name of the authentication method.
        type: str
        required: true
      description:
        description: What it is for; unique within the method.
        type: str
        required: true
      bind_type:
        description: What a login is bound to.
        type: str
        choices: [service, node, role, policy]
        required: true
      bind_name:
        description: Name of what it is bound to, where C(${value.x}) stands for a claim.
        type: str
        required: true
      selector:
        description: Expression that a login must match.
        type: str
        default: ""
  postponed:
    description:
      - Objects that are only compared, by the options that list them. RV(postponed) says which of them another call has
        to write.
      - Consul asks the issuer when a method of the type V(jwt) is written, which may have to be started first.
    type: list
    elements: str
    choices: [policies, roles, tokens, auth_methods, binding_rules]
    default: []
  revoked_secrets:
    description:
      - Secret IDs of tokens that must not exist any more; the tokens are deleted, whatever they are called.
      - O(consul_token) cannot be among them.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds to wait for an agent that answers and for a leader.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Let Traefik read the catalogue, and nothing else
  imagine.platform.consul_acl:
    consul_ca_cert: /etc/consul.d/tls/ca.pem
    consul_token: "{{ federation_secrets.sites.ifca.consul_management_token }}"
    policies:
      - name: traefik
        rules: |
          node_prefix "" { policy = "read" }
          service_prefix "" { policy = "read" }
    tokens:
      - accessor_id: 8f246b77-f3e1-ff88-5b48-8ec93abf3e05
        secret_id: "{{ federation_secrets.sites.ifca.consul_tokens['ifca-server'].traefik }}"
        description: traefik on ifca-server
        policies: [traefik]

- name: Take a token away that another one has replaced
  imagine.platform.consul_acl:
    consul_ca_cert: /etc/consul.d/tls/ca.pem
    consul_token: "{{ federation_secrets.sites.ifca.consul_management_token }}"
    revoked_secrets: ["{{ federation_secrets.rotations['sites.ifca.consul_tokens.ifca-server.traefik'].previous }}"]

- name: Let workloads in that Nomad vouches for
  imagine.platform.consul_acl:
    consul_ca_cert: /etc/consul.d/tls/ca.pem
    consul_token: "{{ federation_secrets.sites.ifca.consul_management_token }}"
    auth_methods:
      - name: nomad-workloads
        type: jwt
        config:
          JWKSURL: https://127.0.0.1:4646/.well-known/jwks.json
          JWKSCACert: "{{ federation_secrets.nomad.ca.certificate }}"
          BoundAudiences: [consul.io]
          ClaimMappings: {nomad_service: nomad_service}
    binding_rules:
      - auth_method: nomad-workloads
        description: A service may register under its own name
        bind_type: service
        bind_name: "${value.nomad_service}"
        selector: '"nomad_service" in value'
"""

RETURN = r"""
bootstrapped:
  description: Whether this call bootstrapped the ACL system.
  returned: always
  type: bool
  sample: false
operations:
  description: What was done, or in check mode would be done, by kind and name of the object.
  returned: always
  type: dict
  sample: {policy traefik: create}
postponed:
  description: Those of O(postponed) that differ from what Consul has.
  returned: always
  type: list
  elements: str
  sample: [auth_methods]
"""

import copy
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.consul import (
    RETRY_SECONDS,
    ConsulClient,
    ConsulError,
    create_module,
    run_client,
    segment,
)
from ansible_collections.imagine.platform.plugins.module_utils.crud import (
    NOTHING,
    Json,
    ObjectError,
    ObjectType,
    PartlyDone,
    apply,
)

# What Consul computes for an object.
COMPUTED = ("CreateIndex", "ModifyIndex", "Hash", "CreateTime", "Namespace", "Partition")


def bootstrap(consul: ConsulClient, check_mode: bool) -> bool:
    """Make the management token exist; return whether it had to be made."""
    deadline = time.monotonic() + consul.patience
    while True:
        try:
            consul.get("acl/token/self", "reading the management token")
            return False
        except ConsulError as error:
            if unknown(error):
                break
            if error.kind != "connection":
                raise
            if check_mode:
                return True
            if time.monotonic() >= deadline:
                raise
        # Waits for an agent that was just started: there is nothing on this side that could be waited for instead.
        time.sleep(RETRY_SECONDS)
    if check_mode:
        return True
    try:
        consul.put("acl/bootstrap", "bootstrapping the ACL system", {"BootstrapSecret": consul.token})
    except ConsulError as error:
        if error.status == 403 and "no longer allowed" in error.words:
            message = (
                "This site's Consul was bootstrapped with another secret than the one in the secrets file: "
                "restore the file that belongs to this federation, or reset the bootstrap as Consul's documentation "
                f"describes (Consul said: {error.words})."
            )
            raise ConsulError(message, "auth", error.status) from error
        raise
    return True


def unknown(error: ConsulError) -> bool:
    """Whether Consul says that a token does not exist, the one that is asked for or the one that asks."""
    return error.kind == "not_found" or (error.status == 403 and "acl not found" in error.words.lower())


def text(raw: Mapping[str, Any], name: str) -> str:
    """Return a value that Consul leaves out where it is empty."""
    return str(raw.get(name) or "")


def links(names: Sequence[str]) -> list[Json]:
    """Return references to policies by name."""
    return [{"Name": name} for name in names]


class Acl(ObjectType):
    """ACL objects of one type; the subclasses say how it is addressed and translated."""

    key = "label"
    #: what the type is called in the results, and the end point that creates one
    kind = ""
    path = ""

    def __init__(self, consul: ConsulClient, empty: bool) -> None:
        """C(empty) says that nothing can exist yet, so that nothing needs to be asked."""
        self.consul = consul
        self.empty = empty
        self.raw: dict[str, Json] = {}

    def label(self, item: Mapping[str, Any]) -> str:
        """What the object is called in the results; unique within a call."""
        return str(item["name"])

    def find(self, item: Mapping[str, Any]) -> Json | None:
        """The object as Consul has it."""
        return self.ask(f"{self.path}/name/{segment(item['name'])}", self.label(item))

    def ask(self, path: str, label: str) -> Json | None:
        """An object by its path."""
        try:
            return self.consul.find(path, f"reading {self.kind} '{label}'")
        except ConsulError as error:
            if unknown(error):
                return None
            raise

    def state(self, raw: Mapping[str, Any], item: Mapping[str, Any]) -> Json:
        """What is compared and shown of an object."""
        raise NotImplementedError

    def body(self, item: Mapping[str, Any]) -> Json:
        """What Consul is told about the object."""
        raise NotImplementedError

    def address(self, raw: Mapping[str, Any]) -> str:
        """Where an object is updated."""
        return f"{self.path}/{raw['ID']}"

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        states = {}
        for item in [] if self.empty else items:
            raw = self.find(item)
            if raw is not None:
                self.raw[item["label"]] = raw
                states[item["label"]] = self.state(raw, item)
        return states

    def wanted(self, item: Mapping[str, Any], current: Json | None) -> Json:
        return self.state(self.body(item), item)

    def create(self, item: Mapping[str, Any], wanted: Json) -> Json | None:
        self.consul.put(self.path, f"creating {self.kind} '{item['label']}'", self.body(item))
        return None

    def update(self, item: Mapping[str, Any], current: Json, wanted: Json) -> Json | None:
        raw = self.raw[item["label"]]
        body = {name: value for name, value in raw.items() if name not in COMPUTED}
        for name, value in self.body(item).items():
            # What has no option, or is not given within one, stays.
            body[name] = {**(body.get(name) or {}), **value} if isinstance(value, dict) else value
        self.consul.put(self.address(raw), f"updating {self.kind} '{item['label']}'", body)
        return None


class Policies(Acl):
    """Policies, identified by name."""

    kind = "policy"
    path = "acl/policy"

    def state(self, raw: Mapping[str, Any], item: Mapping[str, Any]) -> Json:
        return {"description": text(raw, "Description"), "rules": text(raw, "Rules")}

    def body(self, item: Mapping[str, Any]) -> Json:
        return {"Name": item["name"], "Description": item["description"], "Rules": item["rules"]}


class Roles(Acl):
    """Roles, identified by name."""

    kind = "role"
    path = "acl/role"

    def state(self, raw: Mapping[str, Any], item: Mapping[str, Any]) -> Json:
        return {
            "description": text(raw, "Description"),
            "policies": sorted({entry["Name"] for entry in raw.get("Policies") or []}),
        }

    def body(self, item: Mapping[str, Any]) -> Json:
        return {"Name": item["name"], "Description": item["description"], "Policies": links(item["policies"])}


class Tokens(Acl):
    """Tokens, identified by accessor ID; their secrets are written once and compared, but never shown."""

    kind = "token"
    path = "acl/token"

    def __init__(self, consul: ConsulClient, empty: bool) -> None:
        super().__init__(consul, empty)
        self.datacenter = ""

    def label(self, item: Mapping[str, Any]) -> str:
        return str(item["description"] or item["accessor_id"])

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        if not self.empty:
            self.datacenter = self.consul.get("agent/self", "asking the agent for its datacenter")["Config"][
                "Datacenter"
            ]
        return super().read(items)

    def find(self, item: Mapping[str, Any]) -> Json | None:
        raw = self.ask(f"{self.path}/{segment(item['accessor_id'])}", self.label(item))
        if raw and raw.get("SecretID") not in (item["secret_id"], None, "<hidden>"):
            raise ObjectError(
                f"Token {item['accessor_id']} ({item['description']}) exists with another secret: delete it first, or "
                "rotate it."
            )
        return raw

    def state(self, raw: Mapping[str, Any], item: Mapping[str, Any]) -> Json:
        identities = [
            entry["NodeName"]
            if entry["Datacenter"] == self.datacenter
            else f"{entry['NodeName']} in {entry['Datacenter']}"
            for entry in raw.get("NodeIdentities") or []
        ]
        state = {
            "description": text(raw, "Description"),
            "policies": sorted({entry["Name"] for entry in raw.get("Policies") or []}),
            "node_identities": sorted(set(identities)),
        }
        if item["service_identities"] is not None:
            services = {entry["ServiceName"] for entry in raw.get("ServiceIdentities") or []}
            state["service_identities"] = sorted(services)
        return state

    def body(self, item: Mapping[str, Any]) -> Json:
        body = {
            "AccessorID": item["accessor_id"],
            "SecretID": item["secret_id"],
            "Description": item["description"],
            "Policies": links(item["policies"]),
            "NodeIdentities": [{"NodeName": name, "Datacenter": self.datacenter} for name in item["node_identities"]],
        }
        if item["service_identities"] is not None:
            body["ServiceIdentities"] = [{"ServiceName": name} for name in item["service_identities"]]
        return body

    def address(self, raw: Mapping[str, Any]) -> str:
        return f"{self.path}/{raw['AccessorID']}"


class AuthMethods(Acl):
    """Authentication methods, identified by name; of their settings only those that are given are compared."""

    kind = "auth method"
    path = "acl/auth-method"

    def find(self, item: Mapping[str, Any]) -> Json | None:
        return self.ask(self.address({"Name": item["name"]}), self.label(item))

    def state(self, raw: Mapping[str, Any], item: Mapping[str, Any]) -> Json:
        config = raw.get("Config") or {}
        return {
            "type": text(raw, "Type"),
            "description": text(raw, "Description"),
            # Consul adds its own defaults to a method's settings.
            "config": {name: config.get(name) for name in item["config"]},
        }

    def body(self, item: Mapping[str, Any]) -> Json:
        return {
            "Name": item["name"],
            "Type": item["type"],
            "Description": item["description"],
            "Config": item["config"],
        }

    def address(self, raw: Mapping[str, Any]) -> str:
        return f"{self.path}/{segment(raw['Name'])}"


class BindingRules(Acl):
    """Binding rules, identified by authentication method and description."""

    kind = "binding rule"
    path = "acl/binding-rule"

    def __init__(self, consul: ConsulClient, empty: bool) -> None:
        super().__init__(consul, empty)
        self.rules: dict[str, list[Json]] = {}

    def label(self, item: Mapping[str, Any]) -> str:
        return f"{item['auth_method']}: {item['description']}"

    def find(self, item: Mapping[str, Any]) -> Json | None:
        method = item["auth_method"]
        if method not in self.rules:
            what = f"listing the binding rules of authentication method '{method}'"
            self.rules[method] = self.consul.find_all("acl/binding-rules", what, params={"authmethod": method})
        return next((rule for rule in self.rules[method] if text(rule, "Description") == item["description"]), None)

    def state(self, raw: Mapping[str, Any], item: Mapping[str, Any]) -> Json:
        return {
            "bind_type": text(raw, "BindType"),
            "bind_name": text(raw, "BindName"),
            "selector": text(raw, "Selector"),
        }

    def body(self, item: Mapping[str, Any]) -> Json:
        return {
            "AuthMethod": item["auth_method"],
            "Description": item["description"],
            "BindType": item["bind_type"],
            "BindName": item["bind_name"],
            "Selector": item["selector"],
        }


def asking(consul: ConsulClient, token: str) -> ConsulClient:
    """Return a client that asks with another token."""
    other = copy.copy(consul)
    other.token = token
    return other


def revoke(consul: ConsulClient, secrets: Sequence[str], check_mode: bool) -> dict[str, str]:
    """Delete the tokens with these secrets, and return what they were called."""
    if consul.token in secrets:
        raise ObjectError("consul_token is among revoked_secrets: take it out, or ask with another token.")
    gone: dict[str, str] = {}
    for secret in secrets:
        what = "looking for a token that is to be revoked"
        try:
            raw = asking(consul, secret).get("acl/token/self", what)
        except ConsulError as error:
            if unknown(error):
                continue
            raise
        name = f"{text(raw, 'Description') or 'token'} ({raw['AccessorID']})"
        if not check_mode:
            consul.delete(f"acl/token/{segment(raw['AccessorID'])}", f"deleting token {name}")
        gone[name] = text(raw, "Description")
    return gone


class Step(NamedTuple):
    """Objects of one type, by the option that lists them; the order is that of their references."""

    option: str
    kind: type[Acl]


STEPS = (
    Step("policies", Policies),
    Step("roles", Roles),
    Step("tokens", Tokens),
    Step("auth_methods", AuthMethods),
    Step("binding_rules", BindingRules),
)


def labelled(kind: Acl, items: Sequence[Mapping[str, Any]]) -> list[Json]:
    """Return the items with what the base class needs."""
    labels = [kind.label(item) for item in items]
    return [
        # Several tokens may well have one description.
        {
            **item,
            "label": f"{label} ({item['accessor_id']})" if "accessor_id" in item and labels.count(label) > 1 else label,
            "state": "present",
        }
        for item, label in zip(items, labels)
    ]


def argument_spec() -> Json:
    """Return the options, as documented above."""
    name = {"type": "str", "required": True}
    text = {"type": "str", "default": ""}
    names = {"type": "list", "elements": "str", "default": []}

    def objects(**options: Json) -> Json:
        return {"type": "list", "elements": "dict", "default": [], "options": options}

    return {
        "policies": objects(name=name, description=text, rules=name),
        "roles": objects(name=name, description=text, policies=names),
        "tokens": {
            **objects(
                accessor_id=name,
                secret_id={"type": "str", "required": True, "no_log": True},
                description=text,
                policies=names,
                node_identities=names,
                service_identities={"type": "list", "elements": "str"},
            ),
            "no_log": False,
        },
        "auth_methods": objects(name=name, type=name, description=text, config={"type": "dict", "required": True}),
        "binding_rules": objects(
            auth_method=name,
            description=name,
            bind_type={"type": "str", "choices": ["service", "node", "role", "policy"], "required": True},
            bind_name=name,
            selector=text,
        ),
        "postponed": {
            "type": "list",
            "elements": "str",
            "choices": [step.option for step in STEPS],
            "default": [],
        },
        "revoked_secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
        "timeout": {"type": "int", "default": 60},
    }


def run(module: AnsibleModule, consul: ConsulClient, reachable: bool) -> Json:
    """Do everything that is asked for and return the result; a failure carries what had been done (PartlyDone)."""
    # In check mode nothing comes up while it is waited for.
    consul.patience = 0 if module.check_mode else module.params["timeout"]
    bootstrapped = not reachable or bootstrap(consul, module.check_mode)
    result: Json = {"changed": bootstrapped, "bootstrapped": bootstrapped, "operations": {}, "postponed": []}
    before: Json = {}
    after: Json = {}
    if module._diff:
        result["diff"] = {"before": before, "after": after}

    def record(kind: Acl, done: Json) -> None:
        for one in done["objects"]:
            if one["operation"] != NOTHING:
                result["operations"][f"{kind.kind} {one['label']}"] = one["operation"]
        before.update({f"{kind.kind} {label}": state for label, state in done["diff"]["before"].items()})
        after.update({f"{kind.kind} {label}": state for label, state in done["diff"]["after"].items()})
        result["changed"] = result["changed"] or done["changed"]

    for step in STEPS:
        kind = step.kind(consul, empty=module.check_mode and bootstrapped)
        items = labelled(kind, module.params[step.option])
        try:
            if step.option not in module.params["postponed"]:
                record(kind, apply(kind, items, module.check_mode))
            elif apply(kind, items, check_mode=True)["changed"]:
                result["postponed"].append(step.option)
        except (ConsulError, ObjectError) as error:
            raise PartlyDone(error, result) from error
        except PartlyDone as error:
            record(kind, error.result)
            raise PartlyDone(error.cause, result) from error
    try:
        # Nothing can exist yet where check mode has not even a management token.
        secrets = [] if module.check_mode and bootstrapped else module.params["revoked_secrets"]
        for name, description in revoke(consul, secrets, module.check_mode).items():
            result["changed"] = True
            result["operations"][f"token {name}"] = "delete"
            before[f"token {name}"] = {"description": description}
    except (ConsulError, ObjectError) as error:
        raise PartlyDone(error, result) from error
    return result


def main() -> None:
    """Run the module."""
    module = create_module(argument_spec())
    params = dict(module.params)
    if not params["consul_token"]:
        module.fail_json(msg="consul_token is not set: give the secret of the management token.")
    certificate = params["consul_ca_cert"]
    # Before the first run there is no certificate on a node, and no agent either.
    reachable = not (module.check_mode and certificate and not os.path.exists(certificate))
    if not reachable:
        params["consul_ca_cert"] = None
    try:
        consul = ConsulClient.from_params(params)
    except ConsulError as error:
        module.fail_json(msg=str(error))
    run_client(module, consul, lambda: run(module, consul, reachable))


if __name__ == "__main__":
    main()
