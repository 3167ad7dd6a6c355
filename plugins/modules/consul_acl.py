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
  - Objects that are not listed are left alone, and so is what this module has no option for, for instance the service
    identities of a role.
  - Works where the C(consul_*) modules of C(community.general) do not, which take one object a call, cannot
    tell whether a bootstrap was made with the given secret, and need C(no_log) on the whole task for a token's secret.
author:
  - imagine.platform contributors (@imagine-platform)
extends_documentation_fragment:
  - imagine.platform.attributes
attributes:
  check_mode:
    support: full
    details:
      - Where Consul does not answer yet, or O(ca_file) is not there yet, everything counts as to be created.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  url:
    description: Address of the HTTPS API.
    type: str
    default: https://127.0.0.1:8501
  ca_file:
    description: CA certificate that the address is verified with.
    type: path
    required: true
  management_token:
    description:
      - Secret ID of a management token. It is the secret of the bootstrap where the ACL system has none yet.
    type: str
    required: true
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
  timeout:
    description: Seconds to wait for a leader.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Let Traefik read the catalogue, and nothing else
  imagine.platform.consul_acl:
    ca_file: /etc/consul.d/tls/ca.pem
    management_token: "{{ federation_secrets.sites.ifca.consul_management_token }}"
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

- name: Let workloads in that Nomad vouches for
  imagine.platform.consul_acl:
    ca_file: /etc/consul.d/tls/ca.pem
    management_token: "{{ federation_secrets.sites.ifca.consul_management_token }}"
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
"""

import json
import os
import ssl
import time
import urllib.error
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

from ansible_collections.imagine.platform.plugins.module_utils.crud import (
    NOTHING,
    Json,
    ObjectError,
    ObjectType,
    PartlyDone,
    apply,
)

# What Consul answers, with status 500, while nobody could have done what was asked: no leader yet, or, for an
# authentication method, no Nomad yet that shows its keys. Other words, also with 500, will not change by waiting.
PASSING = (
    "no cluster leader",
    "not the leader",
    "no known consul servers",
    "not ready to serve consistent reads",
    "legacy mode",
    "error checking jwksurl",
)
# What Consul computes for an object.
COMPUTED = ("CreateIndex", "ModifyIndex", "Hash", "CreateTime", "Namespace", "Partition")


class ConsulError(Exception):
    """What went wrong, as one sentence; C(status) is that of the answer, 0 where there was none."""

    def __init__(self, message: str, status: int = 0, words: str = "", unreachable: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.words = words
        #: no agent listens there, or the means to reach one are not there yet
        self.unreachable = unreachable


class Consul:
    """Requests to one agent's API."""

    def __init__(self, url: str, ca_file: str, token: str, timeout: int) -> None:
        self.url = url.rstrip("/")
        self.ca_file = ca_file
        self.token = token
        self.deadline = time.monotonic() + timeout

    def ask(self, method: str, path: str, body: Json | None = None, missing: bool = False) -> Any:
        """Return the decoded answer, or None for an object that does not exist where C(missing) allows it."""
        if not os.access(self.ca_file, os.R_OK):
            raise ConsulError(
                f"ca_file {self.ca_file} cannot be read on this node; install the certificate first.", unreachable=True
            )
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-Consul-Token": self.token}
        while True:
            try:
                answer = open_url(
                    f"{self.url}/v1/{path}",
                    data=data,
                    headers=headers,
                    method=method,
                    timeout=15,
                    use_proxy=False,
                    ca_path=self.ca_file,
                )
                content = answer.read()
                return json.loads(content) if content.strip() else None
            except urllib.error.HTTPError as error:
                words = error.read(2000).decode("utf-8", "replace").strip()
                if missing and (error.code == 404 or (error.code == 403 and "ACL not found" in words)):
                    return None
                passing = any(part in words.lower() for part in PASSING)
                if not passing or time.monotonic() > self.deadline:
                    said = f"HTTP {error.code}: {words}"
                    message = f"Consul refused {method} {path} with {said}; check the token's rights and the value."
                    raise ConsulError(message, error.code, words) from error
            except json.JSONDecodeError as error:
                raise ConsulError(f"{self.url} did not answer with JSON to {path}; is it Consul's API?") from error
            except OSError as error:
                if isinstance(getattr(error, "reason", error), ssl.SSLError):
                    raise ConsulError(
                        f"The certificate of {self.url} is not trusted ({error}); check ca_file."
                    ) from error
                if time.monotonic() > self.deadline:
                    raise ConsulError(
                        f"Consul at {self.url} does not answer ({error}); is the agent running?", unreachable=True
                    ) from error
            # Waits for a leader: there is nothing on this side that could be waited for instead.
            time.sleep(0.2)


def bootstrap(consul: Consul, check_mode: bool) -> bool:
    """Make the management token exist; return whether it had to be made."""
    if consul.ask("GET", "acl/token/self", missing=True):
        return False
    if check_mode:
        return True
    try:
        consul.ask("PUT", "acl/bootstrap", {"BootstrapSecret": consul.token})
    except ConsulError as error:
        if error.status == 403 and "no longer allowed" in error.words:
            message = (
                "This site's Consul was bootstrapped with another secret than the one in the secrets file: "
                "restore the file that belongs to this federation, or reset the bootstrap as Consul's documentation "
                f"describes (Consul said: {error.words})."
            )
            raise ConsulError(message, error.status) from error
        raise
    return True


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

    def __init__(self, consul: Consul, empty: bool) -> None:
        """C(empty) says that nothing can exist yet, so that nothing needs to be asked."""
        self.consul = consul
        self.empty = empty
        self.raw: dict[str, Json] = {}

    def label(self, item: Mapping[str, Any]) -> str:
        """What the object is called in the results; unique within a call."""
        return str(item["name"])

    def find(self, item: Mapping[str, Any]) -> Json | None:
        """The object as Consul has it."""
        found: Json | None = self.consul.ask("GET", f"{self.path}/name/{quote(item['name'], safe='')}", missing=True)
        return found

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
        self.consul.ask("PUT", self.path, self.body(item))
        return None

    def update(self, item: Mapping[str, Any], current: Json, wanted: Json) -> Json | None:
        raw = self.raw[item["label"]]
        body = {name: value for name, value in raw.items() if name not in COMPUTED}
        for name, value in self.body(item).items():
            # What has no option, or is not given within one, stays.
            body[name] = {**(body.get(name) or {}), **value} if isinstance(value, dict) else value
        self.consul.ask("PUT", self.address(raw), body)
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

    def __init__(self, consul: Consul, empty: bool) -> None:
        super().__init__(consul, empty)
        self.datacenter = ""

    def label(self, item: Mapping[str, Any]) -> str:
        return str(item["description"] or item["accessor_id"])

    def read(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
        if not self.empty:
            self.datacenter = self.consul.ask("GET", "agent/self")["Config"]["Datacenter"]
        return super().read(items)

    def find(self, item: Mapping[str, Any]) -> Json | None:
        raw: Json | None = self.consul.ask("GET", f"{self.path}/{quote(item['accessor_id'], safe='')}", missing=True)
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
        return {
            "description": text(raw, "Description"),
            "policies": sorted({entry["Name"] for entry in raw.get("Policies") or []}),
            "node_identities": sorted(set(identities)),
        }

    def body(self, item: Mapping[str, Any]) -> Json:
        return {
            "AccessorID": item["accessor_id"],
            "SecretID": item["secret_id"],
            "Description": item["description"],
            "Policies": links(item["policies"]),
            "NodeIdentities": [{"NodeName": name, "Datacenter": self.datacenter} for name in item["node_identities"]],
        }

    def address(self, raw: Mapping[str, Any]) -> str:
        return f"{self.path}/{raw['AccessorID']}"


class AuthMethods(Acl):
    """Authentication methods, identified by name; of their settings only those that are given are compared."""

    kind = "auth method"
    path = "acl/auth-method"

    def find(self, item: Mapping[str, Any]) -> Json | None:
        found: Json | None = self.consul.ask("GET", self.address({"Name": item["name"]}), missing=True)
        return found

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
        return f"{self.path}/{quote(raw['Name'], safe='')}"


class BindingRules(Acl):
    """Binding rules, identified by authentication method and description."""

    kind = "binding rule"
    path = "acl/binding-rule"

    def __init__(self, consul: Consul, empty: bool) -> None:
        super().__init__(consul, empty)
        self.rules: dict[str, list[Json]] = {}

    def label(self, item: Mapping[str, Any]) -> str:
        return f"{item['auth_method']}: {item['description']}"

    def find(self, item: Mapping[str, Any]) -> Json | None:
        method = item["auth_method"]
        if method not in self.rules:
            path = f"acl/binding-rules?authmethod={quote(method, safe='')}"
            self.rules[method] = self.consul.ask("GET", path, missing=True) or []
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
        "url": {"type": "str", "default": "https://127.0.0.1:8501"},
        "ca_file": {"type": "path", "required": True},
        "management_token": {"type": "str", "required": True, "no_log": True},
        "policies": objects(name=name, description=text, rules=name),
        "roles": objects(name=name, description=text, policies=names),
        "tokens": {
            **objects(
                accessor_id=name,
                secret_id={"type": "str", "required": True, "no_log": True},
                description=text,
                policies=names,
                node_identities=names,
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
        "timeout": {"type": "int", "default": 60},
    }


def run(module: AnsibleModule) -> Json:
    """Do everything that is asked for and return the result; a failure carries what had been done (PartlyDone)."""
    options = module.params
    # In check mode nothing comes up while it is waited for.
    timeout = 0 if module.check_mode else options["timeout"]
    consul = Consul(options["url"], options["ca_file"], options["management_token"], timeout)
    try:
        bootstrapped = bootstrap(consul, module.check_mode)
    except ConsulError as error:
        if not (module.check_mode and error.unreachable):
            raise
        bootstrapped = True
    result: Json = {"changed": bootstrapped, "bootstrapped": bootstrapped, "operations": {}}
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
        try:
            record(kind, apply(kind, labelled(kind, options[step.option]), module.check_mode))
        except (ConsulError, ObjectError) as error:
            raise PartlyDone(error, result) from error
        except PartlyDone as error:
            record(kind, error.result)
            raise PartlyDone(error.cause, result) from error
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        module.exit_json(**run(module))
    except ConsulError as error:
        module.fail_json(msg=str(error))
    except PartlyDone as error:
        if not isinstance(error.cause, (ConsulError, ObjectError)):
            raise
        module.fail_json(msg=str(error.cause), **error.result)


if __name__ == "__main__":
    main()
