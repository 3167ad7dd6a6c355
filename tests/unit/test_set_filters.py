# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 imagine.platform contributors
"""Ansible's filters for sets return lists in an order that changes from run to run: nothing shows it or goes by it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from jinja2 import nodes

CHECKOUT = Path(__file__).resolve().parents[2]
SET_FILTERS = {"difference", "intersect", "symmetric_difference", "union"}
# What comes out of these does not depend on the order.
INDEPENDENT = {"length", "count", "sort", "max", "min", "sum"}
CONDITIONS = {"when", "that", "until", "failed_when", "changed_when"}
FILES = sorted(
    path
    for folder in ("roles", "playbooks", "testbed", "extensions")
    for kind in ("yml", "j2")
    for path in (CHECKOUT / folder).rglob(f"*.{kind}")
)


def expressions(value: Any, condition: bool = False) -> Iterator[str]:
    """Each text of a document as a template."""
    if isinstance(value, str):
        yield f"{{% if {value} %}}{{% endif %}}" if condition else value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from expressions(one, key in CONDITIONS)
    elif isinstance(value, list):
        for one in value:
            yield from expressions(one, condition)


def exposed(template: str) -> list[int]:
    """Lines of a template where the order of a set filter's result matters."""
    tree = jinja2.Environment(autoescape=True, extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"]).parse(template)
    above = [tree, *tree.find_all(nodes.Node)]
    parents = {id(child): parent for parent in above for child in parent.iter_child_nodes()}

    def matters(node: nodes.Node) -> bool:
        parent = parents[id(node)]
        if isinstance(parent, nodes.Filter) and parent.node is node:
            return parent.name not in INDEPENDENT and matters(parent)
        if isinstance(parent, (nodes.And, nodes.Or)):
            return matters(parent)
        if isinstance(parent, (nodes.If, nodes.CondExpr)):
            return parent.test is not node and (isinstance(parent, nodes.If) or matters(parent))
        # Something is looked for in it, or it is one of a pair of which only the first has an order.
        return not isinstance(parent, (nodes.Filter, nodes.Test, nodes.Operand, nodes.Compare, nodes.Not))

    return [node.lineno for node in tree.find_all(nodes.Filter) if node.name in SET_FILTERS and matters(node)]


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_the_order_of_a_set_is_nowhere_to_be_seen() -> None:
    found = []
    for path in FILES:
        text = path.read_text()
        templates = [text] if path.suffix == ".j2" else expressions(list(yaml.load_all(text, Tolerant)))
        found += [f"{path.relative_to(CHECKOUT)}: {one}" for one in templates if exposed(one)]
    assert not found, "sort these, or count them:\n" + "\n".join(found)


class Tolerant(yaml.SafeLoader):
    """Reads documents with tags of Ansible's."""


Tolerant.add_multi_constructor("!", lambda loader, suffix, node: None)


@pytest.mark.parametrize(
    ("template", "seen"),
    [
        ("{{ a | difference(b) | join(', ') }}", True),
        ("{{ a | difference(b) | map('upper') | first }}", True),
        ("{{ (a | intersect(b)) or c }}", True),
        ("{{ a | union(b) if c else d }}", True),
        ("{% for one in a | intersect(b) %}{{ one }}{% endfor %}", True),
        ("{{ a | difference(b) | sort | join(', ') }}", False),
        ("{{ a | difference(b) | length == 0 }}", False),
        ("{{ 'x' if a | difference(b) else '' }}", False),
        ("{{ a | reject('in', b | union(c)) }}", False),
        ("{% if a | intersect(b) and c %}x{% endif %}", False),
    ],
)
def test_what_shows_the_order(template: str, seen: bool) -> None:
    assert bool(exposed(template)) is seen
