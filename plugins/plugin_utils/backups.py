# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the action plugins for backups share: files of the controller, and the vault passwords of the play."""

from __future__ import annotations

import datetime
import hashlib
import os
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.parsing.vault import AnsibleVaultFormatError, is_encrypted

from ansible_collections.imagine.platform.plugins.module_utils import backups
from ansible_collections.imagine.platform.plugins.plugin_utils.vault import decrypt_secrets, require_password

DEFAULT_VAULT_ID = "default"


def read(path: str, what: str) -> bytes:
    """A file on the controller that must be there."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        raise AnsibleActionFail(f"There is no {what} at {path}: correct the path.") from None
    except OSError as error:
        raise AnsibleActionFail(f"{path} cannot be read ({error.strerror}): correct the path or its mode.") from None


def encrypt(vault: Any, data: bytes, vault_id: str, secret: Any) -> bytes:
    """Data as ansible-vault encrypts them."""
    named = None if vault_id == DEFAULT_VAULT_ID else vault_id
    return bytes(vault.encrypt(data, secret, vault_id=named))


def open_backup(vault: Any, data: bytes, path: str) -> tuple[backups.Contents, dict[str, Any], str, Any]:
    """Decrypt and verify a backup; also returns its secrets, and the vault identity and secret that opened it."""
    require_password(vault, path)
    if not is_encrypted(data):
        raise AnsibleActionFail(
            f"{path} is no backup of a federation, or its beginning is damaged: give a file that the playbook backup "
            "made."
        )
    try:
        plain, vault_id, secret = vault.decrypt_and_get_vault_id(data)
    except AnsibleVaultFormatError:
        raise AnsibleActionFail(f"{path} is damaged: use another backup.") from None
    except AnsibleError:
        # Its checksum is made with the password: a wrong one and damage look alike.
        raise AnsibleActionFail(
            f"No vault password that was given opens {path}: give the one of the day that it was made, or use another "
            "backup if it is damaged."
        ) from None
    try:
        manifest, files = backups.unpack(plain, path)
        secrets = decrypt_secrets(vault, files[backups.SECRETS], f"{backups.SECRETS} in {path}")[0]
        contents = backups.examine(files, secrets, path)
    except backups.BackupError as error:
        raise AnsibleActionFail(str(error)) from None
    contents.manifest = manifest
    return contents, secrets, vault_id, secret


def require_federation(manifest: Mapping[str, Any], federation: str | None, path: str) -> None:
    """Fail where a backup is that of another federation."""
    if federation and manifest["federation"] != federation:
        raise AnsibleActionFail(
            f'{path} is a backup of the federation "{manifest["federation"]}", but federation_name is "{federation}": '
            "use a backup of this federation."
        )


def clock_warnings(directory: str, federation: str, names: Iterable[str], now: datetime.datetime) -> list[str]:
    """What to tell the operator where backups are from the future."""
    found = backups.from_future(federation, names, now)
    if not found:
        return []
    return [
        f"{directory} has backups from the future ({', '.join(found)}), which count neither as new nor among those "
        "that are kept: set the controller's clock right, or move them elsewhere if it is."
    ]


def summary(path: str, data: bytes, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A backup as the modules return it."""
    return {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), **manifest}


def present_secrets(vault: Any, path: str) -> dict[str, Any] | None:
    """The secrets that a file of the controller has; None where there is no such file."""
    if not os.path.lexists(path):
        return None
    return decrypt_secrets(vault, read(path, "file of secrets"), path)[0]
