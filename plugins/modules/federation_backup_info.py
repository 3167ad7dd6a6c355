#!/usr/bin/python
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: federation_backup_info
short_description: List the backups of a federation, or look into one
version_added: 0.1.0
description:
  - Lists the backups in a directory, or opens one backup, verifies that a federation can be restored from it, and tells
    what is in it. No secrets are returned.
  - Runs on the controller, with the vault passwords of the play.
author:
  - imagine.platform contributors (@imagine-platform)
extends_documentation_fragment:
  - imagine.platform.attributes
  - imagine.platform.attributes.info
options:
  directory:
    description:
      - Directory whose backups are listed. No password is needed for that.
      - Exactly one of O(directory) and O(path) is needed.
    type: path
  path:
    description: Backup that is opened and verified. The module fails if it cannot be restored.
    type: path
  federation:
    description:
      - Name of the federation. Needed with O(directory).
      - With O(path) a backup of another federation is refused.
    type: str
  secrets_file:
    description: With O(path), the federation's file of secrets that the backup's is compared with.
    type: path
seealso:
  - module: imagine.platform.federation_backup
"""

EXAMPLES = r"""
- name: List the backups, the newest first
  imagine.platform.federation_backup_info:
    directory: /srv/backups/imagine
    federation: imagine
  register: listed

- name: See that the newest one can be restored
  imagine.platform.federation_backup_info:
    path: "{{ listed.backups[0].path }}"
    federation: imagine
"""

RETURN = r"""
backups:
  description:
    - With O(directory), the path, size and age in seconds of each backup, when it was C(created), and whether it is
      C(complete) or lacks the state of some sites' Consul, the newest first.
      Those with a time in their name that has not come, because the clock was ahead or is behind, come last with a
      negative age, and a warning names them.
    - With O(path), that one, as RV(imagine.platform.federation_backup#module:backup) describes it.
  returned: success
  type: list
  elements: dict
  sample:
    - path: /srv/backups/imagine/imagine-20260301T030000Z.tar.vault
      size: 412880
      complete: true
      created: "2026-03-01T03:00:00Z"
      age: 3600
secrets:
  description:
    - How O(secrets_file) compares with the secrets in the backup. V(absent) if there is no such file, V(same) if it is
      that of the same federation and has all sites of the backup, V(other) if not.
  returned: with O(secrets_file)
  type: str
  sample: same
"""
