# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What modules and tools have in common."""

    DOCUMENTATION = r"""
options:
  name:
    description:
      - Name of the deployment, which becomes part of its host names. Letters, digits and dashes.
    type: str
    required: true
  uuid:
    description:
      - UUID of the deployment; derived from O(namespace) and O(name) when not given.
    type: str
  namespace:
    description:
      - Nomad namespace of the virtual organisation; O(nomad_namespace) when not given, and V(default) without either.
    type: str
  state:
    description:
      - V(present) runs the deployment, and starts it again when it was stopped or has failed; the metadata C(attempt)
        of its task counts how often.
      - V(stopped) ends it but keeps it listed until Nomad's garbage collection.
      - V(absent) ends it and removes it and its secrets from Nomad at once.
    type: str
    choices: [present, stopped, absent]
    default: present
  image:
    description:
      - Docker image of the main task. Credentials of private registries belong into the nodes' Docker configuration.
      - Required where the deployment does not exist yet.
    type: str
  base_domain:
    description:
      - Base domain of the virtual organisation's deployments.
      - Required where the deployment does not exist yet.
    type: str
  site:
    description:
      - Run at this site (Nomad datacenter) only; at any site by default.
    type: str
  node_type:
    description:
      - Type of the nodes to run on; V(compute) by default.
    type: str
    choices: [compute, batch, tryme]
  avoid_namespaces:
    description:
      - Namespaces whose nodes are taken only where no other is free.
    type: list
    elements: str
  args:
    description:
      - Arguments of the main task's command.
    type: list
    elements: str
  env:
    description:
      - Environment variables of the main task, without secrets.
    type: dict
  secrets:
    description:
      - Environment variables of the main task that nobody else is to read, such as passwords and tokens.
      - They are kept encrypted in the Nomad variable C(nomad/jobs/<job ID>/usergroup), which only the tasks of the job
        may read, and which the job reads when it starts. The job itself shows their names and no values.
      - The token needs the rights to read, write and destroy that variable.
      - What is given replaces all secrets that are there. A running task starts again when a value changes.
    type: dict
  volumes:
    description:
      - Directories of the node to mount into the main task, in Docker's form.
    type: list
    elements: str
  force_pull:
    description:
      - Whether to ask the registry for the image at each start, although the node has it; V(true) by default.
    type: bool
  cpu_cores:
    description:
      - Number of CPU cores that the main task has for itself; V(1) by default.
    type: int
  memory:
    description:
      - Memory in MB that is reserved for the main task; V(2000) by default.
    type: int
  memory_max:
    description:
      - Memory in MB that the main task may use where the node has it; O(memory) by default.
    type: int
  shm_size:
    description:
      - Shared memory in MB; half of O(memory) by default.
    type: int
  disk:
    description:
      - Disk space in MB, at least 101, of which the logs take up to 100; V(1000) by default.
    type: int
  storage_quota:
    description:
      - Whether Docker enforces O(disk). It can only on nodes with the metadata C(storage_quota = true).
      - With V(auto), the default, it does where all nodes that could take the deployment can; one that exists keeps
        what it has.
      - With V(require) the deployment runs on such nodes only; with V(none) it never does.
    type: str
    choices: [auto, require, none]
  gpus:
    description:
      - Number of GPUs of the main task; V(0) by default.
    type: int
  gpu_model:
    description:
      - Model of the GPUs, as NVIDIA names it; any by default.
    type: str
  priority:
    description:
      - Priority between 0 and 100, V(50) by default. A job may take the place of one with a lower priority.
    type: int
  title:
    description:
      - Title of the deployment; O(name) by default.
    type: str
  description:
    description:
      - What the deployment is for.
    type: str
  owner:
    description:
      - Identifier of the owner, as the identity provider gives it.
    type: str
  owner_name:
    description:
      - Name of the owner.
    type: str
  owner_email:
    description:
      - E-mail address of the owner.
    type: str
  template:
    description:
      - Job specification to use in place of the collection's own, in HCL (C(*.nomad.hcl), C(*.hcl), C(*.nomad)) or JSON
        (C(*.json)), on the machine that runs the module.
      - Placeholders are those of the platform API. C(${UPPERCASE}) is filled in by the module, and stands inside of
        quotes or is a number. C(${lowercase}) and C(${NOMAD_...}) are left to Nomad. C($$) stands for one C($).
      - C(JOB_UUID), C(NAMESPACE), C(OWNER), C(OWNER_NAME), C(OWNER_EMAIL), C(TITLE) and C(DESCRIPTION) must be in it.
        C(HOSTNAME) is O(name). C(BASE_DOMAIN), C(PRIORITY), C(IMAGE) or C(DOCKER_IMAGE) with C(DOCKER_TAG),
        C(CPU_NUM), C(RAM), C(RAM_MAX), C(SHARED_MEMORY) (in bytes), C(DISK), C(GPU_NUM) and C(GPU_MODELNAME) may be;
        an option whose placeholder is missing is refused. Others come from O(template_values).
      - A device C(gpu) is taken out where O(gpus) is 0. O(site), O(env) and O(secrets) are added to the job.
      - The job is checked for what clients of the platform rely on before it is registered.
      - The template is not kept. Give it in each run.
    type: path
  template_dir:
    description:
      - Directory with job specifications, used as O(template) where there is one for the deployment. For a module it is
        called C(module.nomad.hcl), for a tool C(tool-<tool>.nomad.hcl) or C(<tool>.nomad.hcl), or has another of the
        suffixes of O(template).
    type: path
  template_values:
    description:
      - Values of further placeholders of O(template), by their names in upper case. Secrets belong into O(secrets).
    type: dict
  wait:
    description:
      - Whether to wait until the deployment runs, and to fail with the reason if it does not; with O(state=stopped) and
        O(state=absent), until nothing of it runs any more.
      - A deployment that no node could ever take fails at once.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds to wait at most. Large images take their time.
    type: int
    default: 600
notes:
  - Whether something is to be changed is judged by Nomad's plan of the job. Options that are not given keep what an
    existing deployment has; where there is none, the defaults that are named below hold.
  - The job goes to a node that passed its tests, is of the right type, and serves the namespace. Its ports are
    registered in the Consul of the node's site and served by the site's Traefik at
    C(https://<port>-<name>.<domain of the site>-<base_domain>).
  - A new image behind an unchanged tag is not noticed.
  - Everything that is given here, save O(secrets), can be read by whoever may read jobs of the namespace.
"""
