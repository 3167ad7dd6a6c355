# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Imports of ansible_collections.imagine.platform find this checkout, as Ansible's own loader finds it."""

from __future__ import annotations

from pathlib import Path

from ansible.plugins.loader import init_plugin_loader

COLLECTIONS = Path(__file__).resolve().parents[1] / ".collections"

link = COLLECTIONS / "ansible_collections" / "imagine" / "platform"
if not link.exists():
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to("../../..", target_is_directory=True)
init_plugin_loader([str(COLLECTIONS)])
