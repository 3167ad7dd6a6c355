# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""What the documentation names exists: files, variables, modules, tests, commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.imagine.platform.plugins.action.inventory_findings import role_variables
from ansible_collections.imagine.platform.plugins.module_utils.vocabulary import VARIABLES

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md")), CHECKOUT / "testbed" / "README.md"]
MODULES = {path.stem for path in (CHECKOUT / "plugins" / "modules").glob("*.py")}
PLAYBOOKS = {path.stem for path in (CHECKOUT / "playbooks").glob("*.yml")}
ROLES = {path.name for path in (CHECKOUT / "roles").iterdir()}
NAMES, DEFAULTS, PREFIXES = role_variables()
#: Names that look like variables of roles: options of modules, keys of metadata, files, values of others.
OTHERS = {
    *MODULES,
    *ROLES,
    "certificate_file",
    "federation_secrets",
    "nomad_address",
    "nomad_ca_cert",
    "nomad_service",
    "nomad_token",
    "node_name",
    "site_request",
    "status_reason",
}

pages = pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(CHECKOUT)) for page in PAGES])


def anchors(path: Path) -> set[str]:
    """The anchors that headings have on a rendered page."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pages
def test_links(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


@pages
def test_lines_are_short(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    # A row of a table cannot be broken.
    assert [line for line in lines if len(line) > 120 and not line.lstrip().startswith("|")] == []


@pages
def test_variables(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    known = {*NAMES, *VARIABLES, *OTHERS, *(f"_{name}" for name in NAMES)}
    prefixes = tuple({*PREFIXES, "federation_", "site_", "node_"})
    said = set(re.findall(r"`([a-z][a-z0-9_]+)(?::[^`]*)?`", text)) | set(re.findall(r"^ +([a-z]+_\w+): ", text, re.M))
    wrong = {name for name in said if name.startswith(prefixes) and name not in {*known, *prefixes}}
    assert not {name for name in wrong if not re.fullmatch(r"site_[a-z]+(_imagine)?", name)}, wrong


@pages
def test_modules_and_playbooks(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"imagine\.platform\.([a-z_]+)", text))
    # The tasks of examples are real ones: their options exist.
    assert named <= {*MODULES, *PLAYBOOKS, *ROLES, "nomad"}, named


@pages
def test_options_in_examples(page: Path) -> None:
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        for item in yaml.safe_load(block):
            for task in [item, *item.get("tasks", []), *item.get("block", [])]:
                for key, options in task.items():
                    if key.startswith("imagine.platform."):
                        name = key.rpartition(".")[2]
                        text = (CHECKOUT / "plugins" / "modules" / f"{name}.py").read_text(encoding="utf-8")
                        for fragment in set(re.findall(r"^  - imagine\.platform\.([a-z_]+)", text, re.MULTILINE)):
                            text += (CHECKOUT / "plugins" / "doc_fragments" / f"{fragment}.py").read_text("utf-8")
                        known = set(re.findall(r"^  ([a-z_]+):$", text, re.MULTILINE))
                        assert set(options) <= known, (key, set(options) - known)


@pages
def test_paths_of_the_checkout(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    tops = "|".join(sorted(path.name for path in CHECKOUT.iterdir() if path.is_dir() and path.name[0] != "."))
    for path in re.findall(rf"(?<![\w/.~-])((?:{tops})/[\w./-]+)", text):
        if path.startswith("inventory/"):
            continue
        assert (CHECKOUT / path.rstrip(".,/")).exists() or path.startswith("tests/output"), path


@pages
def test_make_targets(page: Path) -> None:
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    said = set(
        re.findall(r"(?:`|^    )(?:[A-Z_]+=\S+ )*make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert said <= targets, said - targets


@pages
def test_scenarios_and_tests(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for scenario in re.findall(r"SCENARIO=([a-z-]+)", text):
        assert (CHECKOUT / "molecule" / scenario).is_dir(), scenario
    sources = "".join(path.read_text(encoding="utf-8") for path in CHECKOUT.glob("[tm]*/**/test_*.py"))
    for name in re.findall(r"`(test_[a-z0-9_]+)`", text):
        assert f"def {name}(" in sources, name


@pages
def test_tags(page: Path) -> None:
    playbooks = [path.read_text(encoding="utf-8") for path in (CHECKOUT / "playbooks").rglob("*.yml")]
    tags = set(re.findall(r"tags: \[([a-z_, ]+)\]", "".join(playbooks)))
    known = {tag for line in tags for tag in line.split(", ")}
    for said in re.findall(r"--(?:skip-)?tags\s+([a-z_,]+)", page.read_text(encoding="utf-8")):
        assert set(said.split(",")) <= known, said
