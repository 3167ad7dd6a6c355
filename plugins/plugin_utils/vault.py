# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Files on the controller that are encrypted with the vault passwords of the play."""

from __future__ import annotations

from typing import Any

import yaml
from ansible import constants as C
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.parsing.vault import AnsibleVaultFormatError, is_encrypted, match_encrypt_secret


def require_password(vault: Any, path: str) -> None:
    """Fail where the play has no vault password at all."""
    if not vault.secrets:
        raise AnsibleActionFail(
            f"No vault password is given for {path}; name its file with --vault-password-file or with "
            "vault_password_file in ansible.cfg."
        )


def encrypting_secret(vault: Any) -> tuple[str, Any]:
    """The vault identity that new files are encrypted with, and its secret."""
    wanted_identity = C.config.get_config_value("DEFAULT_VAULT_ENCRYPT_IDENTITY")
    try:
        vault_id, secret = match_encrypt_secret(vault.secrets, wanted_identity)
    except AnsibleError:
        raise AnsibleActionFail(
            f'There is no vault password for the identity "{wanted_identity}" that vault_encrypt_identity '
            "names; give it with --vault-id."
        ) from None
    return vault_id, secret


def decrypt(vault: Any, data: bytes, path: str) -> tuple[bytes, str, Any]:
    """What is in an encrypted file, with the identity that opened it, and its secret."""
    damaged = f"{path} is damaged; restore it from a backup."
    if not data.strip():
        raise AnsibleActionFail(damaged)
    if not is_encrypted(data):
        raise AnsibleActionFail(f"{path} is not encrypted; encrypt it with ansible-vault encrypt.")
    try:
        plain, vault_id, secret = vault.decrypt_and_get_vault_id(data)
    except AnsibleVaultFormatError:
        raise AnsibleActionFail(damaged) from None
    except AnsibleError:
        raise AnsibleActionFail(
            f"No vault password that was given opens {path}; give the one that it was encrypted with, "
            "or restore the file from a backup if it is damaged."
        ) from None
    return plain, vault_id, secret


def decrypt_secrets(vault: Any, data: bytes, path: str) -> tuple[dict[str, Any], str, Any]:
    """The secrets in the federation's file, with the identity that opened it, and its secret."""
    plain, vault_id, secret = decrypt(vault, data, path)
    try:
        values = yaml.safe_load(plain)
    except yaml.YAMLError:
        raise AnsibleActionFail(f"{path} does not hold YAML; correct it with ansible-vault edit.") from None
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise AnsibleActionFail(f"{path} does not hold a mapping; correct it with ansible-vault edit.")
    return values, vault_id, secret
