# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.module_utils import files as files_utils
from ansible_collections.imagine.platform.plugins.modules import config_tree

SECRET = "c2VjcmV0MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY="


@pytest.fixture
def tree(run_module: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    return lambda **options: run_module("config_tree", **options)


def item(path: Path | str, text: str | bytes, **more: Any) -> dict[str, Any]:
    data = text.encode() if isinstance(text, str) else text
    return {"path": str(path), "encoded": base64.b64encode(data).decode(), **more}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_creates_then_changes_nothing(tree: Any, tmp_path: Path) -> None:
    options = {
        "directories": [{"path": str(tmp_path / "a" / "b"), "mode": "0750"}],
        "files": [item(tmp_path / "a" / "b" / "one", "1\n", mode="0640"), item(tmp_path / "a" / "two", "2\n")],
    }
    predicted = tree(check=True, **options)
    assert not (tmp_path / "a").exists()
    result = tree(**options)
    paths = [str(tmp_path / "a" / "b"), str(tmp_path / "a" / "b" / "one"), str(tmp_path / "a" / "two")]
    assert result["changed"]
    assert result["changed_paths"] == result["created_paths"] == predicted["changed_paths"] == paths
    assert result["content_paths"] == paths[1:]
    assert result["diff"] == predicted["diff"]
    assert (tmp_path / "a" / "b" / "one").read_text() == "1\n"
    assert mode(tmp_path / "a" / "b" / "one") == 0o640
    assert mode(tmp_path / "a" / "b") == 0o750
    again = tree(**options)
    assert not again["changed"]
    assert again["diff"] == []
    assert sorted(os.listdir(tmp_path / "a")) == ["b", "two"]
    assert "diff" not in tree(diff=False, **options)


def test_attributes_only(tree: Any, tmp_path: Path) -> None:
    path = tmp_path / "one"
    path.write_text("1\n")
    path.chmod(0o600)
    os.chmod(tmp_path, 0o700)
    options = {
        "directories": [{"path": str(tmp_path), "mode": "0755", "owner": str(os.getuid()), "group": str(os.getgid())}],
        "files": [item(path, "1\n", mode="0644")],
    }
    assert tree(check=True, **options)["changed_paths"] == [str(tmp_path), str(path)]
    assert mode(path) == 0o600
    result = tree(**options)
    assert result["changed_paths"] == [str(tmp_path), str(path)]
    assert result["content_paths"] == result["created_paths"] == []
    assert result["diff"][1]["before"] == {"mode": "0600"}
    assert result["diff"][1]["after"] == {"mode": "0644"}
    assert mode(path) == 0o644
    assert mode(tmp_path) == 0o755


def test_owner_is_kept_and_link_replaced(tree: Any, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("kept\n")
    link = tmp_path / "link"
    link.symlink_to(target)
    result = tree(files=[item(link, "kept\n")])
    assert result["changed_paths"] == [str(link)]
    assert result["created_paths"] == []
    assert not link.is_symlink()
    assert target.read_text() == "kept\n"


def test_diff_hides_what_it_must(tree: Any, tmp_path: Path) -> None:
    result = tree(
        files=[
            item(tmp_path / "plain", "shown\n"),
            item(tmp_path / "secret", f"key={SECRET}\n", sensitive=True),
            item(tmp_path / "binary", b"\xff\xfe"),
            item(tmp_path / "large", "x" * (config_tree.LONGEST_DIFF + 1)),
        ]
    )
    assert result["diff"][0]["after"] == "shown\n"
    assert [entry.get("prepared", "").rpartition("(")[2] for entry in result["diff"][1:]] == [
        "sensitive)\n",
        "binary)\n",
        "too large to show)\n",
    ]
    assert SECRET not in str(result)
    assert base64.b64encode(f"key={SECRET}\n".encode()).decode() not in str(result)


def test_absent_and_purge(tree: Any, tmp_path: Path) -> None:
    for name in ("old/deep/file", "conf/keep", "conf/stray", "conf/sub/kept", "conf/gone"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    options = {
        "files": [item(tmp_path / "conf" / "keep", "x")],
        "absent": [str(tmp_path / "old"), str(tmp_path / "never"), str(tmp_path / "conf" / "gone")],
        "purge": [str(tmp_path / "conf"), str(tmp_path / "nowhere")],
    }
    predicted = tree(check=True, **options)
    assert (tmp_path / "old").exists()
    result = tree(**options)
    assert result["removed_paths"] == [
        str(tmp_path / "old"),
        str(tmp_path / "conf" / "gone"),
        str(tmp_path / "conf" / "stray"),
    ]
    assert predicted["removed_paths"] == result["removed_paths"]
    assert result["content_paths"] == result["removed_paths"][1:]
    assert sorted(os.listdir(tmp_path)) == ["conf"]
    assert sorted(os.listdir(tmp_path / "conf")) == ["keep", "sub"]
    assert not tree(**options)["changed"]


def validator(*argv: str, **more: Any) -> dict[str, Any]:
    return {"argv": list(argv), **more}


def test_validators_see_the_whole_tree(tree: Any, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    script = f"ls -R {{staged}}{tmp_path}/etc >$SEEN; stat -c %a {{staged}} >>$SEEN"
    options: dict[str, Any] = {
        "directories": [{"path": str(tmp_path / "etc" / "empty")}],
        "files": [item(tmp_path / "etc" / "one", "1"), item(tmp_path / "etc" / "two", "2")],
        "validate": [validator("sh", "-c", script, environment={"SEEN": str(seen)})],
    }
    assert tree(check=True, **options)["changed"]
    assert not (tmp_path / "etc").exists()
    assert {"one", "two", "empty", "700"} <= set(seen.read_text().split())
    seen.unlink()
    assert tree(**options)["changed"]
    assert seen.exists()
    seen.unlink()
    (tmp_path / "etc" / "one").write_text("changed")
    assert tree(**options)["content_paths"] == [str(tmp_path / "etc" / "one")]
    assert {"one", "two"} <= set(seen.read_text().split())
    seen.unlink()
    assert not tree(**options)["changed"]
    assert not seen.exists()


def test_validators_run_only_for_their_paths(tree: Any, tmp_path: Path) -> None:
    other = str(tmp_path / "etcetera")
    result = tree(files=[item(tmp_path / "etc", "x")], validate=[validator("false", when_changed=[other])])
    assert result["changed"]
    result = tree(files=[item(tmp_path / "etc", "y")], validate=[validator("false", when_changed=[str(tmp_path)])])
    assert result["failed"]


@pytest.mark.parametrize("check", [False, True])
def test_refusal_replaces_nothing_and_tells_no_secret(tree: Any, tmp_path: Path, check: bool) -> None:
    path = tmp_path / "consul.json"
    path.write_text("old")
    result = tree(
        check=check,
        files=[item(path, f'{{"encrypt": "{SECRET}", "path": "{path}"}}', sensitive=True), item(tmp_path / "b", "x")],
        validate=[validator("sh", "-c", f"cat {{staged}}{path}; echo in {{staged}}{path} >&2; exit 3")],
    )
    assert result["failed"]
    assert SECRET not in str(result)
    assert f"in {path}" in result["msg"]
    assert "nothing was replaced" in result["msg"]
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["consul.json"]


def test_silent_refusal_has_its_code(tree: Any, tmp_path: Path) -> None:
    result = tree(files=[item(tmp_path / "a", "x")], validate=[validator("sh", "-c", "exit 3")])
    assert "code 3" in result["msg"]


def test_missing_validator(tree: Any, tmp_path: Path) -> None:
    options = {"files": [item(tmp_path / "a", "x")], "validate": [validator("no-such-program")]}
    assert tree(check=True, **options)["changed"]
    assert '"no-such-program"' in tree(**options)["msg"]
    assert not (tmp_path / "a").exists()


def test_unknown_owner(tree: Any, tmp_path: Path) -> None:
    path = tmp_path / "a"
    options = {"files": [item(path, "x", mode="0644", owner="no-such-user", group="no-such-group")]}
    assert 'owner "no-such-user"' in tree(**options)["msg"]
    path.write_text("x")
    path.chmod(0o644)
    predicted = tree(check=True, **options)
    assert predicted["changed_paths"] == [str(path)]
    assert set(predicted["diff"][0]["after"]) == {"owner", "group"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"files": [item("relative", "x")]}, '"relative" is not absolute'),
        ({"files": [item("/x/a", "x", mode="640")]}, 'mode "640"'),
        ({"files": [item("/x/a", "x"), item("/x/../x/a", "y")]}, "/x/a is listed twice"),
        ({"files": [{"path": "/x/a"}]}, "/x/a has no content"),
        ({"files": [{"path": "/x/a", "encoded": "?"}]}, "is not Base64"),
        ({"absent": ["/etc"]}, "/etc in absent is a top-level directory"),
        ({"files": [item("/x/y/a", "x")], "absent": ["/x/y"]}, "/x/y/a is wanted but /x/y in absent"),
        ({"files": [item("/nowhere/at/all", "x")]}, "list /nowhere/at in directories"),
        ({"files": [item("/etc", "x")]}, "/etc exists and is not a regular file"),
        ({"directories": [{"path": "/etc/passwd"}]}, "/etc/passwd exists and is not a directory"),
    ],
)
def test_mistakes(tree: Any, options: dict[str, Any], words: str) -> None:
    result = tree(**options)
    assert result["failed"]
    assert words in result["msg"]


def test_directory_may_come_from_an_earlier_task(tree: Any) -> None:
    assert tree(check=True, files=[item("/nowhere/at/all", "x")])["created_paths"] == ["/nowhere/at/all"]


def test_full_disk_replaces_nothing(tree: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    prepare = files_utils.Replacement.prepare

    def fail_at_second(self: Any, *arguments: Any) -> None:
        if written:
            raise OSError(28, "No space left on device", self.temporary)
        prepare(self, *arguments)
        written.append(self.path)

    monkeypatch.setattr(files_utils.Replacement, "prepare", fail_at_second)
    (tmp_path / "a").write_text("old")
    result = tree(files=[item(tmp_path / "a", "1"), item(tmp_path / "b", "2")])
    assert "No space left on device" in result["msg"]
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_leftovers_of_a_killed_run_are_overwritten(tree: Any, tmp_path: Path) -> None:
    (tmp_path / f".a{files_utils.TEMPORARY_SUFFIX}").write_text("half")
    tree(files=[item(tmp_path / "a", "whole")])
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "whole"


def test_new_directory_gets_its_label(tmp_path: Path) -> None:
    labelled: list[str] = []
    module = SimpleNamespace(
        params={"directories": [], "files": [], "absent": [], "purge": [], "validate": []},
        check_mode=False,
        selinux_enabled=lambda: True,
        set_default_selinux_context=lambda path, changed: labelled.append(path),
    )
    tree = config_tree.Tree(module)
    wanted = config_tree.Wanted({"path": str(tmp_path / "d"), "mode": "0700", "owner": None, "group": None}, False)
    tree._make_directory(wanted)
    assert labelled == [str(tmp_path / "d")]


def test_redaction_keeps_words_and_paths() -> None:
    said = config_tree.redact(
        f"bad value {SECRET} in /etc/consul.d/consul1.json near retry_interval",
        [f'{{"a": "{SECRET}", "b": "/etc/consul.d/consul1.json", "retry_interval": 1}}'.encode()],
        ["/etc/consul.d/consul1.json"],
    )
    assert said == "bad value ******** in /etc/consul.d/consul1.json near retry_interval"
