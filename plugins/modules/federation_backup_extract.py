#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: federation_backup_extract
short_description: Take the snapshots and the secrets of a federation out of a backup
version_added: 0.1.0
description:
  - Verifies a backup, puts the file of secrets back, and writes the snapshots into a directory, each encrypted with the
    vault password that opened the backup, so that nothing of it lies open on the controller. M(ansible.builtin.copy)
    decrypts them on their way to a node.
  - Runs on the controller.
author:
  - imagine.platform contributors (@imagine-platform)
extends_documentation_fragment:
  - imagine.platform.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: Nothing could be shown.
  idempotent:
    support: full
options:
  path:
    description: The backup.
    type: path
    required: true
  federation:
    description: Name of the federation. A backup of another one is refused.
    type: str
    required: true
  directory:
    description: Directory for the snapshots. It is made with mode C(0700).
    type: path
    required: true
  secrets_file:
    description:
      - Where the file of secrets belongs. One of the same federation that has all sites of the backup is kept, because
        it is no older than that of the backup.
    type: path
    required: true
  replace_secrets:
    description:
      - Whether a file of other secrets at O(secrets_file) is replaced. It is kept beside it, with C(.before-restore)
        and a time in its name.
      - If not, such a file is refused.
    type: bool
    default: false
seealso:
  - module: imagine.platform.federation_backup
"""

EXAMPLES = r"""
- name: Take the snapshots out of a backup
  imagine.platform.federation_backup_extract:
    path: /srv/backups/imagine/imagine-20260301T030000Z.tar.vault
    federation: imagine
    directory: inventory/.federation/restore
    secrets_file: inventory/.federation/secrets.yml
  register: extracted

- name: Bring the snapshot of a site to its server
  ansible.builtin.copy:
    src: "{{ extracted.consul.ifca }}"
    dest: /root/consul.snap
    mode: "0600"

- name: Take it apart on a controller that has secrets of a federation that is gone
  imagine.platform.federation_backup_extract:
    path: /srv/backups/imagine/imagine-20260301T030000Z.tar.vault
    federation: imagine
    directory: inventory/.federation/restore
    secrets_file: inventory/.federation/secrets.yml
    replace_secrets: true
"""

RETURN = r"""
nomad:
  description: The encrypted file with the snapshot of Nomad's servers.
  returned: success
  type: str
  sample: /home/operator/inventory/.federation/restore/nomad.snap
consul:
  description: By site, the encrypted file with the snapshot of its Consul servers.
  returned: success
  type: dict
secrets:
  description: What became of the file of secrets; V(kept), V(written) or V(replaced).
  returned: success
  type: str
  sample: written
consul_node_ids:
  description: By site and name of node, the ID by which its Consul knows the node, and which a new machine must have.
  returned: success
  type: dict
"""
