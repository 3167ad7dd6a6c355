#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nomad_acl_bootstrap
short_description: Bootstrap Nomad's ACL system with a secret made beforehand
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Makes the first management token of a Nomad federation, with the given secret.
  - Because the secret is made and stored before it is used, a run that is interrupted can be repeated at any time.
  - Where ACLs were bootstrapped before, the module succeeds only if the secret is that of a working management token.
  - Waits until the servers can be reached and have a leader.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.nomad
attributes:
  check_mode:
    support: partial
    details: Without writing, an ACL system that was bootstrapped with another secret looks like one that was not.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  secret:
    description:
      - Secret of the management token, a random UUID.
    type: str
    required: true
  timeout:
    description:
      - Seconds to wait for servers that can be reached and have a leader.
    type: int
    default: 60
seealso:
  - module: imagine.platform.nomad_acl_token
"""

EXAMPLES = r"""
- name: Bootstrap Nomad's ACL system
  imagine.platform.nomad_acl_bootstrap:
    nomad_address: https://10.10.0.11:4646
    nomad_ca_cert: ca/nomad.pem
    secret: "{{ federation_secrets.nomad.management_token }}"

- name: Give servers that have just started two minutes to elect a leader
  imagine.platform.nomad_acl_bootstrap:
    secret: "{{ federation_secrets.nomad.management_token }}"
    timeout: 120
"""

RETURN = r"""
accessor_id:
  description: Accessor of the management token; null in check mode when the token would be made.
  returned: success
  type: str
  sample: 5b7a3a3e-6f3a-4f0c-8a42-0c1c9c1b2d11
"""

import re
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.imagine.platform.plugins.module_utils.nomad import (
    Json,
    NomadClient,
    NomadError,
    create_module,
    run_module,
)

RETRY_SECONDS = 0.5
# A server that is still starting fails so; a wrong certificate, for one, does not go away by waiting.
TRANSIENT = ("connection", "timeout", "no_leader", "broken_connection")


def find_token(client: NomadClient) -> Json | None:
    """The token that belongs to the secret, or None where the servers do not know it."""
    try:
        token: Json = client.get("acl/token/self", "checking the bootstrap secret", retry=False)
    except NomadError as error:
        if error.kind in ("auth", "not_found"):
            return None
        raise
    if token["Type"] != "management":
        raise NomadError(
            f"secret belongs to the {token['Type']} token '{token['Name']}' at {client.address}, which does not have "
            "all rights: give the secret that ACLs were bootstrapped with.",
            "option",
        )
    return token


def make_token(client: NomadClient, secret: str) -> Json:
    """The management token, made with the secret."""
    try:
        token: Json = client.with_token(None).post(
            "acl/bootstrap", "bootstrapping ACLs", {"BootstrapSecret": secret}, retry=False
        )
    except NomadError as error:
        index = re.search(r"reset index: (\d+)\)", error.words)
        if error.status != 400 or index is None:
            raise
        # Another run, or an attempt of this one whose answer got lost, may have been first.
        known = find_token(client)
        if known is not None:
            return known
        raise NomadError(
            f"ACLs at {client.address} were bootstrapped with another secret ({error.words}): give that secret, "
            f"or write {index.group(1)} into the file acl-bootstrap-reset in the data directory of the leader and "
            "run again.",
            "bootstrapped",
        ) from error
    if token["SecretID"] != secret:
        raise NomadError(
            f"Nomad at {client.address} chose another secret than the given one: use Nomad 1.4 or newer.", "protocol"
        )
    return token


def bootstrap(module: AnsibleModule, client: NomadClient) -> Json:
    """Check the secret first, so that a repeated run only reads."""
    secret = module.params["secret"]
    client = client.with_token(secret)
    deadline = time.monotonic() + module.params["timeout"]
    while True:
        try:
            token = find_token(client)
            if token is not None:
                return {"changed": False, "accessor_id": token["AccessorID"]}
            if module.check_mode:
                return {"changed": True, "accessor_id": None}
            return {"changed": True, "accessor_id": make_token(client, secret)["AccessorID"]}
        except NomadError as error:
            if error.kind not in TRANSIENT:
                raise
            if time.monotonic() + RETRY_SECONDS >= deadline:
                raise NomadError(f"Waited {module.params['timeout']} s in vain. {error}", error.kind) from error
            time.sleep(RETRY_SECONDS)


def main() -> None:
    module = create_module(
        {
            "secret": {"type": "str", "required": True, "no_log": True},
            "timeout": {"type": "int", "default": 60},
        }
    )
    if not re.match(r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z", module.params["secret"]):
        module.fail_json(msg="secret is no UUID: make one with uuidgen, or the type uuid of federation_secrets.")
    run_module(module, bootstrap)


if __name__ == "__main__":
    main()
