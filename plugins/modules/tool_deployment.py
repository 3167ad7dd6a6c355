#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: tool_deployment
short_description: Deploy a tool on the federation
version_added: 0.1.0
author: imagine.platform contributors (@imagine-platform)
description:
  - Runs a tool, such as a development environment, a federated-learning server or an annotation service, as a Nomad job
    of the form that the platform's clients know.
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
  tool:
    description:
      - Which tool to run. O(settings) and O(images) beside O(image) depend on it; secrets that are named here are
        required where the tool does not exist yet.
      - V(devenv) is a development environment, whose image understands C(deep-start). Ports C(api), C(monitor), C(ide)
        and C(custom). Secret C(jupyterPASSWORD), at least 9 characters. Setting C(service), V(jupyter) by default, or
        V(vscode).
      - V(fl) is a federated-learning server with Flower. Ports C(fedserver) (gRPC), C(monitor) and C(ide). Secret
        C(jupyterPASSWORD). Settings C(rounds), C(metric), C(min_fit_clients), C(min_available_clients), C(strategy),
        C(mu), C(learning_rate), C(momentum), C(differential_privacy), C(noise_multiplier), C(sampled_clients),
        C(clip_norm).
      - V(nvflare) is a federated-learning server with NVFlare; O(image) is that of the server, C(dashboard) among
        O(images) that of its dashboard. Ports C(dashboard), C(server-jupyter), and C(server-fl) and C(server-admin), at
        which TLS is passed through. Secret C(NVFL_PASSWORD). Settings C(username) (an e-mail address) and
        C(organization), both required, C(project), C(app_location), C(starting_date), C(end_date), C(public).
      - V(mlflow) is an MLflow tracking server with accounts. Port C(ui). Secrets C(MLFLOW_ADMIN_PASSWORD), which holds
        for the first start, and C(MLFLOW_FLASK_SERVER_SECRET_KEY). Settings C(username), V(admin) by default, and
        C(default_permission).
      - V(ai4life) serves a model of the AI4LIFE zoo; C(ui) among O(images) is its page. Ports C(api), C(ui) and
        C(custom). Setting C(model), required.
      - V(llm) serves a large language model with vLLM; C(ui) among O(images) is Open WebUI. Ports C(ui) and C(vllm).
        Secrets C(VLLM_API_KEY) and C(WEBUI_ADMIN_PASSWORD), and C(HUGGING_FACE_HUB_TOKEN) where the model needs it.
        Settings C(model) and C(username) (an e-mail address), both required, and C(ui_memory).
      - V(cvat) is the annotation service CVAT without analytics; C(ui), C(db), C(redis) and C(opa) are among O(images),
        the latter three with defaults. Ports C(ui) and C(server), both at the host name of C(ui). Secrets
        C(CVAT_PASSWORD) and C(CVAT_DATABASE_PASSWORD), which must not change later. Settings C(username), V(admin) by
        default, and C(worker_memory).
      - Any other word needs a O(template) of your own for it.
    type: str
    required: true
  settings:
    description:
      - What the tool can be told beside what all deployments can. See O(tool). Those that are not given keep what is
        there one by one.
    type: dict
  images:
    description:
      - Images of the containers beside the main one, by the names that O(tool) lists. Those that are not given keep
        what is there one by one.
    type: dict
notes:
  - The data of V(nvflare), V(mlflow), V(llm) and V(cvat) stay on the node through updates, as far as Nomad can move
    them, and are lost with O(state=absent). O(disk) is their size.
seealso:
  - module: imagine.platform.module_deployment
  - module: imagine.platform.deployment_info
"""

EXAMPLES = r"""
- name: Deploy a development environment with JupyterLab
  imagine.platform.tool_deployment:
    tool: devenv
    name: workbench
    namespace: imagine
    base_domain: deployments.example.org
    image: registry.example.org/tools/devenv:1.0
    title: Workbench
    owner: 0a1b2c@egi.eu
    owner_name: Ada Lovelace
    owner_email: ada@example.org
    cpu_cores: 2
    memory: 4000
    secrets:
      jupyterPASSWORD: "{{ vault_workbench_password }}"
  register: workbench

- name: Say where it is
  ansible.builtin.debug:
    msg: "{{ workbench.endpoints.ide }}"

- name: Deploy a federated-learning server for ten rounds
  imagine.platform.tool_deployment:
    tool: fl
    name: rounds
    namespace: imagine
    base_domain: deployments.example.org
    image: registry.example.org/tools/flower-server:1.0
    settings:
      rounds: 10
      min_fit_clients: 3
    secrets:
      jupyterPASSWORD: "{{ vault_rounds_password }}"

- name: Stop the development environment, to go on later
  imagine.platform.tool_deployment:
    tool: devenv
    name: workbench
    namespace: imagine
    state: stopped

- name: Remove the federated-learning server
  imagine.platform.tool_deployment:
    tool: fl
    name: rounds
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
  sample: tool
tool:
  description: Which tool it is.
  returned: when the deployment exists
  type: str
  sample: devenv
name:
  description: Name of the deployment.
  returned: when the deployment exists
  type: str
  sample: workbench
uuid:
  description: UUID of the deployment.
  returned: success
  type: str
  sample: 5f1c7b76-3a0e-5a55-8c43-4f2a9d2f3c11
job_id:
  description: ID of the Nomad job.
  returned: when the deployment exists
  type: str
  sample: tool-devenv-5f1c7b76-3a0e-5a55-8c43-4f2a9d2f3c11
namespace:
  description: Namespace of the deployment.
  returned: when the deployment exists
  type: str
  sample: imagine
title:
  description: Title that the owner gave.
  returned: when the deployment exists
  type: str
  sample: Workbench
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
  sample: registry.example.org/tools/devenv:1.0
endpoints:
  description: Addresses of the ports, once a site is known; C(tls://) where TLS is passed through to the container.
  returned: when the deployment exists
  type: dict
  sample:
    ide: https://ide-workbench.ifca-deployments.example.org
warnings:
  description: What Nomad warns of in the job.
  returned: when there are any
  type: list
  elements: str
  sample: []
"""

from ansible_collections.imagine.platform.plugins.module_utils.deployer import run_deployment


def main() -> None:
    run_deployment(
        "tool",
        {
            "tool": {"type": "str", "required": True},
            "settings": {"type": "dict"},
            "images": {"type": "dict"},
        },
    )


if __name__ == "__main__":
    main()
