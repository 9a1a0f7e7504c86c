"""The table of rules is whole: each has tests, and each test of the standard is about one."""

import ast
from pathlib import Path

import pytest

from tests.agent.vda5050.rules import (
    FILES,
    HERE,
    SECTIONS,
    TOOLS,
    VERSIONS,
    beside,
    counts,
    rules,
)

CLAIMED = {test for rule in rules() for test in rule.tests}


def names_in(path: Path) -> set[str]:
    """Tests of a file: functions, and state machines of hypothesis."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            found.add(node.name)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            found |= {name} if name.startswith("Test") else set()
    return found


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.text)
def test_every_rule_has_tests_and_stands_in_the_document(rule) -> None:
    assert rule.tests
    for file, name in rule.tests:
        assert name in names_in(FILES[file]), f"{FILES[file].name} has no {name}"
    assert rule.sections
    for version in ("2.1", "3.0"):
        assert rule.sections.get(version) in (None, *SECTIONS[version])


@pytest.mark.parametrize("file", [f for f, path in FILES.items() if path.parent == HERE])
def test_every_test_is_about_a_rule_or_says_that_it_is_about_none(file: str) -> None:
    for name in sorted(names_in(FILES[file])):
        is_claimed, is_beside = (file, name) in CLAIMED, (file, name) in beside()
        assert is_claimed or is_beside, f"{FILES[file].name}: {name} has no section in the table"
        assert not (is_claimed and is_beside)


def test_every_file_is_in_the_table_or_about_a_tool() -> None:
    known = {path.name for path in FILES.values() if path.parent == HERE} | TOOLS
    assert {path.name for path in HERE.glob("test_*.py")} == known


def test_no_test_that_is_gone_is_named() -> None:
    assert {(f, n) for f, n in beside() if n not in names_in(FILES[f])} == set()


def test_every_version_is_covered() -> None:
    print(*(f"{version}: {counts()[version]} rules" for version in VERSIONS), sep=", ")
    assert all(count >= 70 for count in counts().values())
