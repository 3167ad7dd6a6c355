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
  - Objects that are not listed are left alone.
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
      - Where Consul does not answer yet, everything counts as to be created.
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
import ssl
import time
import urllib.error
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

Json = dict[str, Any]


class ConsulError(Exception):
    """What went wrong, as one sentence; C(status) is that of the answer, 0 where there was none."""

    def __init__(self, message: str, status: int = 0, words: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.words = words


class Consul:
    """Requests to one agent's API."""

    def __init__(self, url: str, ca_file: str, token: str, timeout: int) -> None:
        self.url = url.rstrip("/")
        # A file that cannot be read is told here rather than at the first request.
        ssl.create_default_context(cafile=ca_file)
        self.ca_file = ca_file
        self.token = token
        self.deadline = time.monotonic() + timeout

    def ask(self, method: str, path: str, body: Json | None = None, missing: bool = False) -> Any:
        """Return the decoded answer, or None for an object that does not exist where C(missing) allows it."""
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
                if error.code < 500 or time.monotonic() > self.deadline:
                    said = f"HTTP {error.code}: {words}"
                    message = f"Consul refused {method} {path} with {said}; check the token's rights and the value."
                    raise ConsulError(message, error.code, words) from error
            except ssl.SSLCertVerificationError as error:
                raise ConsulError(f"The certificate of {self.url} is not trusted ({error}); check ca_file.") from error
            except json.JSONDecodeError as error:
                raise ConsulError(f"{self.url} did not answer with JSON to {path}; is it Consul's API?") from error
            except OSError as error:
                if time.monotonic() > self.deadline:
                    raise ConsulError(
                        f"Consul at {self.url} does not answer ({error}); is the agent running?"
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


def links(names: list[str]) -> list[Json]:
    """Return references to policies by name."""
    return [{"Name": name} for name in sorted(names)]


def picked(current: Mapping[str, Any], wanted: Mapping[str, Any]) -> Json:
    """Return from an object what is compared: the keys that are wanted, with references reduced to names."""
    result: Json = {}
    for key, value in wanted.items():
        have = current.get(key)
        if key == "Policies":
            have = links([entry["Name"] for entry in have or []])
        elif key == "NodeIdentities":
            have = [{"NodeName": entry["NodeName"], "Datacenter": entry["Datacenter"]} for entry in have or []]
        elif isinstance(value, dict) and isinstance(have, dict):
            # Consul adds its own defaults to a method's settings.
            have = {name: have.get(name) for name in value}
        result[key] = have if have is not None else type(value)()
    return result


class Acl:
    """All objects of one call: compares each, writes those that differ, and remembers what was done."""

    def __init__(self, consul: Consul, check_mode: bool, empty: bool) -> None:
        self.consul = consul
        self.check_mode = check_mode
        #: nothing can be there yet, and in check mode nothing answers
        self.empty = empty and check_mode
        self.operations: dict[str, str] = {}
        self.before: Json = {}
        self.after: Json = {}

    def ensure(self, kind: str, name: str, current: Json | None, wanted: Json, create: str, update: str) -> None:
        """Create or update one object by PUT; C(wanted) without its secret is what is compared and shown."""
        secret = wanted.pop("SecretID", None)
        have = None if current is None else picked(current, wanted)
        if have == wanted:
            return
        label = f"{kind} {name}"
        self.operations[label] = "create" if current is None else "update"
        self.before[label] = have or {}
        self.after[label] = dict(wanted)
        if self.check_mode:
            return
        body = dict(wanted)
        if secret and current is None:
            body["SecretID"] = secret
        if current is not None and "ID" in current:
            body["ID"] = current["ID"]
        self.consul.ask("PUT", create if current is None else update, body)

    def get(self, path: str) -> Any:
        return None if self.empty else self.consul.ask("GET", path, missing=True)

    def policy(self, item: Json) -> None:
        name = item["name"]
        current = self.get(f"acl/policy/name/{quote(name, safe='')}")
        wanted = {"Name": name, "Description": item["description"], "Rules": item["rules"]}
        self.ensure("policy", name, current, wanted, "acl/policy", f"acl/policy/{(current or {}).get('ID')}")

    def role(self, item: Json) -> None:
        name = item["name"]
        current = self.get(f"acl/role/name/{quote(name, safe='')}")
        wanted = {"Name": name, "Description": item["description"], "Policies": links(item["policies"])}
        self.ensure("role", name, current, wanted, "acl/role", f"acl/role/{(current or {}).get('ID')}")

    def token(self, item: Json, datacenter: str) -> None:
        accessor = item["accessor_id"]
        current = self.get(f"acl/token/{quote(accessor, safe='')}")
        if current and current.get("SecretID") not in (item["secret_id"], None, "<hidden>"):
            message = (
                f"Token {accessor} ({item['description']}) exists with another secret: delete it first, or rotate it."
            )
            raise ConsulError(message)
        identities = [{"NodeName": name, "Datacenter": datacenter} for name in sorted(item["node_identities"])]
        wanted = {
            "AccessorID": accessor,
            "SecretID": item["secret_id"],
            "Description": item["description"],
            "Policies": links(item["policies"]),
            "NodeIdentities": identities,
        }
        self.ensure("token", item["description"] or accessor, current, wanted, "acl/token", f"acl/token/{accessor}")

    def auth_method(self, item: Json) -> None:
        name = item["name"]
        path = f"acl/auth-method/{quote(name, safe='')}"
        current = self.get(path)
        wanted = {
            key: item[option]
            for key, option in (
                ("Name", "name"),
                ("Type", "type"),
                ("Description", "description"),
                ("Config", "config"),
            )
        }
        self.ensure("auth method", name, current, wanted, "acl/auth-method", path)

    def binding_rules(self, items: list[Json]) -> None:
        rules: dict[str, list[Json]] = {}
        for item in items:
            method = item["auth_method"]
            if method not in rules:
                rules[method] = self.get(f"acl/binding-rules?authmethod={quote(method, safe='')}") or []
            description = item["description"]
            current = next((rule for rule in rules[method] if rule["Description"] == description), None)
            wanted = {
                "AuthMethod": method,
                "Description": description,
                "BindType": item["bind_type"],
                "BindName": item["bind_name"],
                "Selector": item["selector"],
            }
            identifier = (current or {}).get("ID")
            name = f"{method}: {description}"
            self.ensure("binding rule", name, current, wanted, "acl/binding-rule", f"acl/binding-rule/{identifier}")


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
    """Do everything that is asked for and return the result."""
    options = module.params
    try:
        consul = Consul(options["url"], options["ca_file"], options["management_token"], options["timeout"])
    except OSError:
        if module.check_mode:
            # Before the first run there is neither a certificate nor an agent.
            consul = None
        else:
            raise ConsulError(
                f"ca_file {options['ca_file']} cannot be read on this node; install the certificate first."
            ) from None
    empty = consul is None
    bootstrapped = True
    if consul is not None:
        if module.check_mode:
            consul.deadline = 0.0
        try:
            bootstrapped = bootstrap(consul, module.check_mode)
            empty = bootstrapped
        except ConsulError as error:
            if not module.check_mode or error.status:
                raise
            empty = True
    acl = Acl(consul, module.check_mode, empty)  # type: ignore[arg-type]
    datacenter = ""
    if options["tokens"] and not acl.empty and consul is not None:
        datacenter = consul.ask("GET", "agent/self")["Config"]["Datacenter"]
    for item in options["policies"]:
        acl.policy(item)
    for item in options["roles"]:
        acl.role(item)
    for item in options["tokens"]:
        acl.token(item, datacenter)
    for item in options["auth_methods"]:
        acl.auth_method(item)
    acl.binding_rules(options["binding_rules"])
    changed = bootstrapped or bool(acl.operations)
    result: Json = {"changed": changed, "bootstrapped": bootstrapped, "operations": acl.operations}
    if module._diff:
        result["diff"] = {"before": acl.before, "after": acl.after}
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        module.exit_json(**run(module))
    except ConsulError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
