# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Templates of operators: finding, reading, checking and filling them in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.imagine.platform.plugins.module_utils import job_templates
from ansible_collections.imagine.platform.plugins.module_utils.jobs import JobError

ALL = " ".join(f"${{{name}}}" for name in job_templates.REQUIRED)
OPTIONS: dict[str, Any] = {
    "uuid": "u", "namespace": "n", "name": "x", "base_domain": "b", "priority": 50, "owner": "o", "owner_name": "on",
    "owner_email": "oe", "title": "t", "description": "d", "image": "host:5000/a/b:1", "cpu_cores": 1, "memory": 100,
    "memory_max": 200, "shm_size": 50, "disk": 300, "gpus": 0, "gpu_model": None, "template_values": None,
}  # fmt: skip


def refused(words: str) -> Any:
    return pytest.raises(JobError, match=re.escape(words))


def test_which_file(tmp_path: Path) -> None:
    names = ["tool-fl", "fl"]
    assert job_templates.find_template("/x", str(tmp_path), names) == "/x"
    assert job_templates.find_template(None, None, names) is None
    assert job_templates.find_template(None, str(tmp_path), names) is None
    (tmp_path / "fl.json").touch()
    assert job_templates.find_template(None, str(tmp_path), names) == str(tmp_path / "fl.json")
    (tmp_path / "tool-fl.nomad").touch()
    assert job_templates.find_template(None, str(tmp_path), names) == str(tmp_path / "tool-fl.nomad")
    with refused("template_dir is '/nowhere', but there is no such directory"):
        job_templates.find_template(None, "/nowhere", names)


def test_reading(tmp_path: Path) -> None:
    file = tmp_path / "x.hcl"
    file.write_text("é", encoding="utf-8")
    assert job_templates.read_template(str(file)) == "é"
    file.write_bytes(b"\xff")
    with refused("is not UTF-8 text"):
        job_templates.read_template(str(file))
    file.write_bytes(b"x" * (job_templates.MAX_BYTES + 1))
    with refused("is larger than"):
        job_templates.read_template(str(file))
    with refused("is neither HCL nor JSON"):
        job_templates.read_template(str(tmp_path / "x.txt"))
    with refused("cannot be read (No such file or directory)"):
        job_templates.read_template(str(tmp_path / "y.hcl"))


def test_placeholders() -> None:
    text = "${A} ${meta.domain} ${NOMAD_ADDR_x} $$${B} $${C} $D ${lower} ${A_1}"
    assert job_templates.placeholders(text) == {"A", "B", "A_1"}
    assert job_templates.render("x.hcl", text, {"A": "1", "B": "2", "A_1": "3"}) == (
        "1 ${meta.domain} ${NOMAD_ADDR_x} $2 ${C} $D ${lower} 3"
    )


def test_what_users_write_stays_what_it_is() -> None:
    value = '"a\\b"\n\t${meta.x} %{if}\r'
    assert job_templates.render("x.hcl", "${A}", {"A": value}) == '\\"a\\\\b\\"\\n\\t$${meta.x} %%{if}'
    assert job_templates.parse_json("x.json", job_templates.render(
        "x.json", '{"TaskGroups": [], "X": "${A}"}', {"A": value}))["X"] == value  # fmt: skip


def test_values() -> None:
    values = job_templates.template_values({**OPTIONS, "template_values": {"EXTRA": True}})
    assert (values["IMAGE"], values["DOCKER_IMAGE"], values["DOCKER_TAG"]) == ("host:5000/a/b:1", "host:5000/a/b", "1")
    assert (values["SHARED_MEMORY"], values["GPU_MODELNAME"], values["EXTRA"]) == ("50000000", "", "true")
    for image in ("host:5000/a/b", "a/b"):
        values = job_templates.template_values({**OPTIONS, "image": image})
        assert (values["DOCKER_IMAGE"], values["DOCKER_TAG"]) == (image, "latest")
    for name, words in (("lower", "in upper case"), ("OWNER", "from elsewhere"), ("NOMAD_X", "from elsewhere")):
        with refused(words):
            job_templates.template_values({**OPTIONS, "template_values": {name: "x"}})


def test_templates_that_would_drop_something() -> None:
    values = job_templates.template_values(OPTIONS)
    job_templates.check_template("x", ALL, {}, values)
    with refused("has no ${OWNER_EMAIL}, ${TITLE}, which clients of the platform need"):
        job_templates.check_template("x", ALL.replace("${TITLE}", "").replace("${OWNER_EMAIL}", ""), {}, values)
    with refused("has ${PASSWORD}, for which there is no value: give it in template_values, or a secret in secrets"):
        job_templates.check_template("x", ALL + "${PASSWORD}", {}, values)
    for option in job_templates.DECIDED:
        with refused(f"{option} is given, but template 'x' decides that"):
            job_templates.check_template("x", ALL, {option: "y"}, values)
    for option, names in job_templates.PLACEHOLDERS.items():
        with refused(f"{option} is given, but template 'x' has no ${{{names[0]}}}: add it"):
            job_templates.check_template("x", ALL, {option: "y"}, values)
        for name in names:
            job_templates.check_template("x", f"{ALL} ${{{name}}}", {option: "y"}, values)


def test_json_that_is_no_job() -> None:
    assert job_templates.parse_json("x", '{"Job": {"TaskGroups": []}}') == {"TaskGroups": []}
    with refused("is not JSON once it is filled in"):
        job_templates.parse_json("x", "{")
    for text in ("[]", "{}", '{"Job": 1}', '{"TaskGroups": 1}'):
        with refused("it has no TaskGroups"):
            job_templates.parse_json("x", text)


def test_what_is_added() -> None:
    def device(**more: Any) -> dict[str, Any]:
        return {"Name": "nvidia/gpu", "Constraints": [{"RTarget": ""}], **more}

    def job() -> dict[str, Any]:
        task = {"Name": "main", "Resources": {"Devices": [device(), {"Name": "fpga"}]}, "Env": {"A": "1"}}
        return {"ID": "j", "Meta": {"owner": "o"}, "TaskGroups": [{"Tasks": [task]}]}

    options = {**OPTIONS, "site": None, "env": None, "attempt": 0, "secret_names": [], "job_id": None}
    plain = job_templates.finish(job(), options)
    (task,) = plain["TaskGroups"][0]["Tasks"]
    assert [one["Name"] for one in task["Resources"]["Devices"]] == ["fpga"]
    assert plain["Meta"] == {"name": "x", "owner": "o"}
    assert "Templates" not in task
    more = job_templates.finish(
        job(), {**options, "gpus": 1, "site": "ifca", "env": {"B": True}, "attempt": 2, "secret_names": ["S"]}
    )
    (task,) = more["TaskGroups"][0]["Tasks"]
    assert task["Resources"]["Devices"][0] == device(Constraints=[])
    assert task["Env"] == {"A": "1", "B": "true"}
    assert task["Meta"] == {"attempt": "2"}
    assert "nomad/jobs/j/usergroup" in task["Templates"][0]["EmbeddedTmpl"]
    # Not twice, where the template does it itself.
    again = job_templates.finish(more, {**options, "gpus": 1, "site": "ifca", "secret_names": ["S"]})
    assert len(again["TaskGroups"][0]["Tasks"][0]["Templates"]) == 1
    assert len(again["Constraints"]) == 1
    without = job_templates.finish({"TaskGroups": []}, options)
    assert without == {"TaskGroups": [], "Meta": {"name": "x"}}


def test_secrets_in_clear() -> None:
    job_templates.check_secrets_kept({"a": "secret"}, None)
    job_templates.check_secrets_kept({"a": "short"}, {"S": "short"})
    with refused("secrets.S stands in clear in the job"):
        job_templates.check_secrets_kept({"a": ['x "longer" é y']}, {"S": '"longer" é'})
