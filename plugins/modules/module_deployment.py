#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: module_deployment
short_description: Deploy an AI module on the federation
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Runs a module (an AI application served by DEEPaaS) as a Nomad job of the form that the platform's clients know.
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.nomad
  - imagine.platform.deployment
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Secrets are shown by their names only.
  idempotent:
    support: full
options:
  command:
    description:
      - Command to run instead of the image's own.
    type: str
  ports:
    description:
      - Ports to serve, by name, with the number that the container listens on.
      - C(api) at 5000, C(monitor) at 6006 and C(ide) at 8888 by default.
    type: dict
seealso:
  - module: imagine.platform.tool_deployment
  - module: imagine.platform.deployment_info
"""

EXAMPLES = r"""
- name: Deploy a module
  imagine.platform.module_deployment:
    name: digits
    namespace: imagine
    base_domain: deployments.example.org
    image: registry.example.org/modules/digits:1.0
    title: Digits
    owner: 0a1b2c@egi.eu
    owner_name: Ada Lovelace
    owner_email: ada@example.org
    cpu_cores: 2
    memory: 4000
  register: digits

- name: Ask the module what it serves
  ansible.builtin.uri:
    url: "{{ digits.endpoints.api }}/v2/models/"

- name: Deploy a module on a GPU of one site
  imagine.platform.module_deployment:
    name: segmentation
    namespace: imagine
    base_domain: deployments.example.org
    image: registry.example.org/modules/segmentation:2.1
    site: ifca
    gpus: 1
    gpu_model: Tesla T4

- name: Give a module a token that nobody can read in the job
  imagine.platform.module_deployment:
    name: digits
    namespace: imagine
    secrets:
      HF_TOKEN: "{{ vault_hf_token }}"

- name: Deploy a module with the operator's own job specification
  imagine.platform.module_deployment:
    name: plankton
    namespace: imagine
    base_domain: deployments.example.org
    image: registry.example.org/modules/plankton:3.2
    owner: 0a1b2c@egi.eu
    template: /etc/imagine/templates/module.nomad.hcl
    template_values:
      DATASET_DOI: 10.5281/zenodo.1234567

- name: Remove a module and its secrets
  imagine.platform.module_deployment:
    name: digits
    namespace: imagine
    state: absent
"""

RETURN = r"""
operation:
  description:
    - What was done, or would be in check mode.
    - One of V(create), V(update), V(start), V(stop), V(delete) and V(none).
  returned: success
  type: str
  sample: create
kind:
  description: Kind of the deployment, V(module), V(tool), V(batch) or V(try).
  returned: when the deployment exists
  type: str
  sample: module
tool:
  description: Which tool it is; empty for a module.
  returned: when the deployment exists
  type: str
  sample: ""
name:
  description: Name of the deployment.
  returned: when the deployment exists
  type: str
  sample: digits
uuid:
  description: UUID of the deployment.
  returned: success
  type: str
  sample: 5f1c7b76-3a0e-5a55-8c43-4f2a9d2f3c11
job_id:
  description: ID of the Nomad job.
  returned: when the deployment exists
  type: str
  sample: module-5f1c7b76-3a0e-5a55-8c43-4f2a9d2f3c11
namespace:
  description: Namespace of the deployment.
  returned: when the deployment exists
  type: str
  sample: imagine
title:
  description: Title that the owner gave.
  returned: when the deployment exists
  type: str
  sample: Digits
description:
  description: Description that the owner gave.
  returned: when the deployment exists
  type: str
  sample: ""
owner:
  description: Identifier of the owner.
  returned: when the deployment exists
  type: str
  sample: 0a1b2c@egi.eu
owner_name:
  description: Name of the owner.
  returned: when the deployment exists
  type: str
  sample: Ada Lovelace
owner_email:
  description: E-mail address of the owner.
  returned: when the deployment exists
  type: str
  sample: ada@example.org
state:
  description:
    - V(absent) where there is no such deployment.
    - V(queued) until a node takes it, V(starting) while the image is pulled, V(running), V(complete), V(failed),
      V(lost), V(down) while its node cannot be reached, V(stopped) by request.
  returned: success
  type: str
  sample: running
allocation:
  description: ID of the Nomad allocation.
  returned: when the deployment exists
  type: str
  sample: 8f6ab5a0-97a9-1e5c-19fb-0f6e0a27bc4e
node:
  description: Name of the node.
  returned: when the deployment exists
  type: str
  sample: ifca-compute
site:
  description: Site (Nomad datacenter) of the node.
  returned: when the deployment exists
  type: str
  sample: ifca
submit_time:
  description: When the present definition was registered, in seconds since 1970.
  returned: when the deployment exists
  type: int
  sample: 1767225600
image:
  description: Image of the main task.
  returned: when the deployment exists
  type: str
  sample: registry.example.org/modules/digits:1.0
endpoints:
  description: Addresses of the ports, once a site is known; C(tls://) where TLS is passed through to the container.
  returned: when the deployment exists
  type: dict
  sample:
    api: https://api-digits.ifca-deployments.example.org
warnings:
  description: What Nomad warns of in the job.
  returned: when there are any
  type: list
  elements: str
  sample: []
"""

from ansible_collections.imagine.platform.plugins.module_utils.deployer import run_deployment


def main() -> None:
    run_deployment("module", {"command": {"type": "str"}, "ports": {"type": "dict"}})


if __name__ == "__main__":
    main()
