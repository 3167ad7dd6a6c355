# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""The quickstart finds the sentence that explains a failure, and runs programs as it should."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "testbed"))

from driver.console import Console, Failed, duration, explain, table
from driver.settings import CHECKOUT, Settings, SettingsError

QUOTED = """
TASK [imagine.platform.nomad : Create the tokens] ******
[ERROR]: Task failed: Module failed: wrong
Origin: /x/roles/nomad/tasks/acl.yml:20:7
fatal: [ifca-server -> localhost]: FAILED! =>
    changed: false
    msg: 'Task failed: ''local_network'' is
        undefined'

PLAY RECAP *********
ifca-server : ok=0    changed=0    unreachable=0    failed=1
"""
FOLDED = """
fatal: [incd-server]: UNREACHABLE! =>
    changed: false
    msg: |-
        Failed to connect to the host via ssh:
        Connection refused
    unreachable: true
"""
IGNORED = """
fatal: [a]: FAILED! =>
    msg: the reason
fatal: [b]: FAILED! =>
    msg: not this one
...ignoring
ok: [c]
"""
JSON = 'fatal: [a]: FAILED! => {"changed": false, "msg": "say \\"why\\"\\nhere"}'
ITEM = """
failed: [a] (item=x) =>
    item: x
    msg: item x is wrong
fatal: [a]: FAILED! =>
    censored: hidden
"""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (QUOTED, "ifca-server: Task failed: 'local_network' is undefined"),
        (FOLDED, "incd-server: Failed to connect to the host via ssh: Connection refused"),
        (IGNORED, "a: the reason"),
        (JSON, 'a: say "why" here'),
        (ITEM, "a: item x is wrong"),
        ("[ERROR]: the playbook is missing\n\n", "the playbook is missing"),
        ("one\nlast words\nmake: *** [x] Error 1\n", "last words"),
        ("", "It ended without a word."),
    ],
)
def test_explain(text: str, sentence: str) -> None:
    assert explain(text.splitlines()) == sentence


def test_a_failing_program_names_sentence_and_log(tmp_path: Path) -> None:
    stream = io.StringIO()
    console = Console(tmp_path, total=1, stream=stream)
    script = "import sys; print('noise'); sys.exit('the disk is full')"
    with pytest.raises(Failed) as failure, console.phase("Disk"):
        console.run([sys.executable, "-c", script], "disk.log", env=os.environ, cwd=tmp_path)
    assert failure.value.sentence == "the disk is full"
    assert failure.value.log == tmp_path / "disk.log"
    assert "noise\n" in (tmp_path / "disk.log").read_text()
    assert stream.getvalue().startswith("[ 1/1] Disk\n")
    assert "failed in" in stream.getvalue()


def test_a_program_that_does_not_exist(tmp_path: Path) -> None:
    console = Console(tmp_path, stream=io.StringIO())
    with pytest.raises(Failed, match="nowhere cannot be started"), console.phase("x"):
        console.run(["nowhere"], "x.log", env=os.environ, cwd=tmp_path)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.52, "0.5 s"), (42.4, "42 s"), (60, "1 min 00 s"), (119.7, "2 min 00 s")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_table() -> None:
    assert table([["a", "bcd"]], ["One", "B"]) == "One  B\n---  ---\na    bcd"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LOCAL_FEDERATION", "../x"),
        ("LOCAL_FEDERATION", "Imagine"),
        ("LOCAL_PREFIX", "8.8"),
        ("LOCAL_PREFIX", "10.300"),
    ],
)
def test_settings_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"{variable} is '{value}'"):
        Settings.from_environment()


def test_an_ansible_of_ones_own_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLLECTIONS_PATH", "CONFIG", "STDOUT_CALLBACK", "GALAXY_SERVER"):
        monkeypatch.setenv(f"ANSIBLE_{name}", "elsewhere")
    environment = Settings.from_environment().environment()
    assert [key for key, value in environment.items() if value == "elsewhere"] == ["ANSIBLE_GALAXY_SERVER"]
    assert environment["ANSIBLE_CONFIG"] == str(CHECKOUT / "ansible.cfg")


def test_settings_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("LOCAL_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = Settings.from_environment()
    assert settings.state_dir == tmp_path / ".local/state/imagine-platform/imagine"
    assert settings.cache_dir == tmp_path / ".cache/imagine-platform"
    assert settings.environment()["LOCAL_PREFIX"] == "10.213"


@pytest.mark.parametrize(
    ("place", "what"), [("/", "this checkout"), ("{checkout}", "this checkout"), ("{home}", "your home")]
)
def test_a_state_directory_that_holds_more_is_refused(place: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nowhere/home")
    monkeypatch.setenv("LOCAL_STATE_DIR", place.format(checkout=CHECKOUT, home="/nowhere/home/../home"))
    with pytest.raises(SettingsError, match=f"holds {what}.*`make clean` removes all of it"):
        Settings.from_environment()
    monkeypatch.setenv("LOCAL_STATE_DIR", "/nowhere/home/state")
    assert str(Settings.from_environment().state_dir) == "/nowhere/home/state"
