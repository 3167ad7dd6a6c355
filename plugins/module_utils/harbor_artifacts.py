# Copyright (c) 2026 imagine.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Artifacts in Harbor's repositories, as the modules see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.imagine.platform.plugins.module_utils.crud import Json
from ansible_collections.imagine.platform.plugins.module_utils.harbor import (
    HarborClient,
    flag,
    number,
    part,
    parts,
    repository_segment,
    segment,
    text,
)
from ansible_collections.imagine.platform.plugins.module_utils.harbor_projects import check_project_name


def repository_path(project: str, repository: str) -> str:
    """Where a repository is."""
    return f"projects/{segment(project)}/repositories/{repository_segment(repository)}"


def describe_scan(raw: Mapping[str, Any]) -> Json | None:
    """The newest scan of an artifact, or None; Harbor has one for each type of report."""
    overview = part(raw, "scan_overview")
    for kind in sorted(overview):
        report = part(overview, kind)
        summary = part(report, "summary")
        return {
            "status": text(report, "scan_status").lower(),
            "severity": text(report, "severity").lower(),
            "total": number(summary, "total"),
            "fixable": number(summary, "fixable"),
            "summary": {name.lower(): number(part(summary, "summary"), name) for name in part(summary, "summary")},
            "end_time": text(report, "end_time"),
        }
    return None


def describe_artifact(raw: Mapping[str, Any], project: str, repository: str) -> Json:
    """An artifact as the modules return it."""
    return {
        "project": project,
        "repository": repository,
        "digest": text(raw, "digest"),
        "tags": sorted(text(tag, "name") for tag in parts(raw, "tags")),
        "immutable_tags": sorted(text(tag, "name") for tag in parts(raw, "tags") if flag(tag, "immutable")),
        "size": number(raw, "size"),
        "type": text(raw, "type").lower(),
        "media_type": text(raw, "media_type"),
        "manifest_media_type": text(raw, "manifest_media_type"),
        "push_time": text(raw, "push_time"),
        "pull_time": text(raw, "pull_time"),
        "labels": sorted(text(label, "name") for label in parts(raw, "labels")),
        "platforms": [
            {
                "digest": text(one, "child_digest"),
                "os": text(part(one, "platform"), "os"),
                "architecture": text(part(one, "platform"), "architecture"),
            }
            for one in parts(raw, "references")
        ],
        "scan": describe_scan(raw),
    }


def list_artifacts(client: HarborClient, project: str, repository: str | None, reference: str | None) -> list[Json]:
    """Artifacts of a project, of one of its repositories, or the one that a tag or digest names, if it is there."""
    check_project_name(project)
    client.require_login()
    query = {"with_tag": "true", "with_label": "true", "with_scan_overview": "true", "with_immutable_status": "true"}
    if repository is not None and reference is not None:
        path = f"{repository_path(project, repository)}/artifacts/{segment(reference)}"
        what = f"reading artifact '{project}/{repository}:{reference}'"
        raw = client.find(path, what, params=query)
        return [] if raw is None else [describe_artifact(raw, project, repository)]
    if repository is not None:
        names = [repository]
    else:
        what = f"listing the repositories of project '{project}'"
        found = client.list_all(f"projects/{segment(project)}/repositories", what)
        names = sorted(text(raw, "name").removeprefix(f"{project}/") for raw in found)
    artifacts = []
    for name in names:
        what = f"listing the artifacts of '{project}/{name}'"
        listed = client.list_all(f"{repository_path(project, name)}/artifacts", what, params=query)
        artifacts += [describe_artifact(raw, project, name) for raw in listed]
    return artifacts
