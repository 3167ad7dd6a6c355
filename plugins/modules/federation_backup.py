#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: federation_backup
short_description: Put the snapshots and the secrets of a federation into one encrypted file
version_added: 0.1.0
description:
  - Makes one file of the snapshot of Nomad's servers, the snapshots of the sites' Consul servers, and the federation's
    file of secrets, and encrypts it with the vault password of the play. C(ansible-vault decrypt) opens it, and what
    comes out is a tar archive.
  - Before anything is written, it is verified that a federation can be restored from it. The snapshots are intact, the
    secrets can be decrypted, Nomad's snapshot holds all root keys of its keyring, and the management tokens in the
    secrets are those of the snapshots.
  - The file is read again and opened before older ones are removed.
  - Runs on the controller.
author:
  - imagine.platform contributors (@imagine-platform)
extends_documentation_fragment:
  - imagine.platform.attributes
attributes:
  check_mode:
    support: full
    details:
      - The snapshots need not exist yet.
  diff_mode:
    support: full
    details: Shows the names of the files.
  idempotent:
    support: none
    details: Each run makes a new file.
options:
  directory:
    description: Directory of the backups. It is made with mode C(0700) if there is none.
    type: path
    required: true
  federation:
    description: Name of the federation. The file's name is made of it and of the time in UTC.
    type: str
    required: true
  nomad:
    description: File with the snapshot of Nomad's servers, as M(imagine.platform.nomad_snapshot) saves it.
    type: path
    required: true
  consul:
    description:
      - By name of site, the file with the snapshot of its Consul servers, as M(imagine.platform.consul_snapshot) saves
        it.
    type: dict
    default: {}
  complete:
    description:
      - Whether O(consul) has all sites of the federation. Otherwise the file has C(-partial) in its name, and none is
        removed.
    type: bool
    default: true
  secrets_file:
    description: The federation's file of secrets. It goes into the backup as it is, encrypted.
    type: path
    required: true
  keep:
    description:
      - How many complete backups of this federation stay in O(directory). Older ones are removed, and with them partial
        ones that are older than all that stay. Other files are left alone.
      - Those with a time in their name that has not come, because the clock was ahead or is behind, are neither counted
        nor removed, and a warning names them.
      - V(0) keeps all.
    type: int
    default: 0
seealso:
  - module: imagine.platform.federation_backup_info
  - module: imagine.platform.federation_backup_extract
"""

EXAMPLES = r"""
- name: Make a backup, and keep the newest fourteen
  imagine.platform.federation_backup:
    directory: /srv/backups/imagine
    federation: imagine
    nomad: /run/backup/nomad.snap
    consul:
      ifca: /run/backup/ifca.snap
      incd: /run/backup/incd.snap
    secrets_file: inventory/.federation/secrets.yml
    keep: 14

- name: Make one that stays, before an upgrade
  imagine.platform.federation_backup:
    directory: /srv/backups/before-upgrades
    federation: imagine
    nomad: /run/backup/nomad.snap
    consul: "{{ snapshots_by_site }}"
    secrets_file: inventory/.federation/secrets.yml
"""

RETURN = r"""
backup:
  description: The backup; empty in check mode.
  returned: success
  type: dict
  contains:
    path:
      description: The encrypted file.
      type: str
      sample: /srv/backups/imagine/imagine-20260301T030000Z.tar.vault
    size:
      description: Its size in bytes.
      type: int
      sample: 412880
    sha256:
      description: Its SHA-256 sum.
      type: str
      sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    format:
      description: Version of the form of the archive.
      type: int
      sample: 1
    federation:
      description: Name of the federation.
      type: str
      sample: imagine
    created:
      description: When it was made, in UTC.
      type: str
      sample: "2026-03-01T03:00:00Z"
    collection_version:
      description: Version of the collection that made it.
      type: str
      sample: 0.1.0
    nomad:
      description:
        - What Nomad's snapshot holds, with its C(index), C(jobs) (namespace, name and status of each), C(namespaces),
          C(root_keys) of the keyring, and the numbers of C(nodes), C(tokens) and C(variables).
      type: dict
    sites:
      description: By site, C(index), C(nodes) and the number of C(tokens) of its Consul.
      type: dict
    files:
      description: By name in the archive, size and SHA-256 sum of each file.
      type: dict
removed:
  description: Older backups that were removed.
  returned: success
  type: list
  elements: str
  sample: []
"""
