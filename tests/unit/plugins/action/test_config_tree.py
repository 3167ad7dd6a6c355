# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultSecret
from ansible.template import Templar

from ansible_collections.imagine.platform.plugins.action import config_tree

Send = Callable[..., list[dict[str, Any]]]
SECRET = "c2VjcmV0MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY="


@pytest.fixture
def role(tmp_path: Path) -> Path:
    (tmp_path / "role" / "templates").mkdir(parents=True)
    return tmp_path / "role"


@pytest.fixture
def send(role: Path) -> Send:
    """Run the plugin and return the files as the node would get them, decoded."""

    def call(*files: Any, variables: dict[str, Any] | None = None, **arguments: Any) -> list[dict[str, Any]]:
        loader = DataLoader()
        loader.set_basedir(str(role))
        task_vars = {"ansible_search_path": [str(role)], **(variables or {})}
        task = SimpleNamespace(
            args={"files": list(files), **arguments},
            async_val=0,
            check_mode=False,
            diff=False,
            get_search_path=lambda: [str(role)],
        )
        plugin = config_tree.ActionModule(
            task=task,
            connection=mock.MagicMock(),
            play_context=mock.MagicMock(),
            loader=loader,
            templar=Templar(loader=loader, variables=task_vars),
            shared_loader_obj=None,
        )
        answer = {"changed": True, "invocation": {"module_args": "everything"}}
        with mock.patch.object(plugin, "_execute_module", return_value=answer) as execute:
            result = plugin.run(task_vars=task_vars)
        assert result["changed"]
        assert "invocation" not in result
        execute.assert_called_once()
        assert execute.call_args.kwargs["module_name"] == "imagine.platform.config_tree"
        # The plugin must not leave its own variables behind.
        assert task_vars["ansible_search_path"] == [str(role)]
        sent: list[dict[str, Any]] = execute.call_args.kwargs["module_args"]["files"]
        for item in sent:
            item["text"] = base64.b64decode(item.pop("encoded")).decode()
        return sent

    return call


def test_template(send: Send, role: Path) -> None:
    (role / "templates" / "inner.j2").write_text("inner {{ name }}\n")
    (role / "templates" / "a.j2").write_text(
        "# {{ ansible_managed }} {{ template_destpath }}\n{% if true %}\n{{ name }} {{ extra }}\n{% endif %}\n"
        "  {% include 'inner.j2' %}\nback\\\\slash\n"
    )
    (item,) = send(
        {"path": "/etc/a", "template": "a.j2", "vars": {"extra": "more"}, "mode": "0600"}, variables={"name": "value"}
    )
    assert item == {
        "path": "/etc/a",
        "mode": "0600",
        "text": "# Ansible managed /etc/a\nvalue more\n  inner valueback\\\\slash\n",
    }


def test_template_of_nothing_and_of_the_operators_words(send: Send, role: Path) -> None:
    (role / "templates" / "empty.j2").write_text("")
    (role / "templates" / "none.j2").write_text("{{ none }}")
    (role / "templates" / "managed.j2").write_text("{{ ansible_managed }}")
    empty, none, managed = send(
        {"path": "/etc/a", "template": "empty.j2"},
        {"path": "/etc/b", "template": "none.j2"},
        {"path": "/etc/c", "template": "managed.j2"},
        variables={"ansible_managed": "mine"},
    )
    assert empty["text"] == ""
    assert none["text"] == ""
    assert managed["text"] == "mine"


def test_values_are_no_templates(send: Send, role: Path) -> None:
    (role / "templates" / "a.j2").write_text("{{ name }}\n")
    (item,) = send({"path": "/etc/a", "template": "a.j2"}, variables={"name": "{{ 1 + 1 }}"})
    assert item["text"] == "{{ 1 + 1 }}\n"


def test_json_and_content(send: Send) -> None:
    structured, text, empty = send(
        {"path": "/etc/a", "json": {"b": [1, None], "a": "ü"}},
        {"path": "/etc/b", "content": "{{ not a template }}\n"},
        {"path": "/etc/c", "content": "", "json": None},
    )
    assert structured["text"] == '{\n  "a": "ü",\n  "b": [\n    1,\n    null\n  ]\n}\n'
    assert text["text"] == "{{ not a template }}\n"
    assert empty == {"path": "/etc/c", "text": ""}


def test_encrypted_values_in_json() -> None:
    class EncryptedString:
        def __str__(self) -> str:
            return "plain"

    assert config_tree.render_json("/a", {"a": EncryptedString()}) == '{\n  "a": "plain"\n}\n'


def test_no_files_at_all(send: Send) -> None:
    assert send(absent=["/etc/old/a"]) == []
    assert send(files=None) == []


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("text", "option files is not a list of mappings"),
        ({"content": "x"}, "A file has no path"),
        ({"path": ""}, "A file has no path"),
        ({"path": "/a"}, "/a has no source; give it exactly one"),
        ({"path": "/a", "content": "x", "template": "y"}, "/a has template and content"),
        ({"path": "/a", "content": {"a": 1}}, "content of /a is a dict"),
        ({"path": "/a", "json": {"a": {1}}}, "json of /a holds a value of type set"),
        ({"path": "/a", "template": "missing.j2"}, "missing.j2"),
    ],
)
def test_mistakes(send: Send, item: Any, words: str) -> None:
    with pytest.raises(AnsibleError, match=words):
        send(item)


def test_undefined_variable_names_template_and_file(send: Send, role: Path) -> None:
    (role / "templates" / "a.j2").write_text("{{ missing_variable }}")
    with pytest.raises(AnsibleActionFail) as caught:
        send({"path": "/etc/a", "template": "a.j2"})
    assert "template a.j2 for /etc/a" in str(caught.value)
    assert "missing_variable" in str(caught.value)


PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - imagine.platform.config_tree:
        files:
          - {path: "{{ directory }}/a.json", json: {key: "{{ secret }}", deep: ["{{ secret }}"]}, sensitive: true}
          - {path: "{{ directory }}/b", content: "{{ secret }}", sensitive: true}
          - {path: "{{ directory }}/c", template: c.j2, sensitive: true}
        validate:
          - argv: ["sh", "-c", "cat {staged}{{ directory }}/*; exit {{ code | default(0) }}"]
"""


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., str]:
    """Run a real play, as talkative as Ansible gets without its debug mode."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "c.j2").write_text("{{ secret }}\n")
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "ansible.cfg").touch()
    vault = DataLoader()
    vault.set_vault_secrets([("default", VaultSecret(b"password"))])
    encrypted = vault._vault.encrypt(SECRET).decode().replace("\n", "\n  ").rstrip()
    (tmp_path / "variables.yml").write_text(f"directory: {tmp_path}/out\nsecret: !vault |\n  {encrypted}\n")
    (tmp_path / "password").write_text("password")
    (tmp_path / "out").mkdir()
    root = Path(config_tree.__file__).absolute().parents[5]

    def run(*arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local", "play.yml"),
                *("-vvvvv", "--diff", "-e", "@variables.yml", "--vault-password-file", "password", *arguments),
            ],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "ANSIBLE_COLLECTIONS_PATH": str(root),
                "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
                "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
                "LC_ALL": "C.UTF-8",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def test_a_real_play_leaks_nothing(play: Callable[..., str], tmp_path: Path) -> None:
    said = [play("-e", "code=3", code=2)]
    assert "nothing was replaced" in said[0]
    assert os.listdir(tmp_path / "out") == []
    said += [play(), play("--check")]
    assert "changed=1" in said[1]
    assert "content differs (sensitive)" in said[1]
    assert "changed=0" in said[2]
    assert (tmp_path / "out" / "a.json").read_text().count(SECRET) == 2
    for encoded in (SECRET, base64.b64encode(SECRET.encode()).decode()[:40]):
        assert encoded not in "".join(said)
