"""Every kind of finding that the code can open has a fix, or says what acknowledging it means."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from integration_project import fixes

ROOT = Path(__file__).resolve().parent.parent.parent
OURS = ("integration_project", "paddle_sync", "billing_bridge")


def modules() -> Iterator[tuple[str, ast.Module]]:
    for package in OURS:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if "migrations" not in parts and "simulator" not in parts:
                yield (
                    ".".join(part for part in parts if part != "__init__"),
                    ast.parse(path.read_text(encoding="utf-8")),
                )


def kinds_reported(name: str, tree: ast.Module) -> Iterator[str]:
    """Kinds that stand in a call of finding.report, as a text or as a constant of some module of ours."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "finding.report":
            first = call.args[0]
            if isinstance(first, ast.Constant):
                yield str(first.value)
            elif ast.unparse(first).rpartition(".")[2].isupper():
                yield value_of(name, ast.unparse(first))


def value_of(module: str, dotted: str) -> str:
    found = import_module(module)
    for part in dotted.split("."):
        found = getattr(found, part)
    return str(found)


def kinds_declared(name: str, tree: ast.Module) -> tuple[str, ...]:
    """The KINDS of a module that hands kinds on as values."""
    names = {ast.unparse(target) for node in tree.body if isinstance(node, ast.Assign) for target in node.targets}
    return tuple(import_module(name).KINDS) if "KINDS" in names and "finding" in ast.unparse(tree) else ()


def kinds_that_can_open() -> set[str]:
    return {kind for name, tree in modules() for kind in (*kinds_reported(name, tree), *kinds_declared(name, tree))}


def test_every_kind_that_can_open_has_a_fix_or_an_acknowledgement() -> None:
    kinds = kinds_that_can_open()

    assert {"webhooks missing", "plan changed", "charge lost", "vendor closed", "mapped otherwise"} <= kinds
    assert kinds - set(fixes.TABLE) == set()


def test_every_call_names_its_kind_or_its_module_lists_them() -> None:
    unnamed = [
        f"{name}:{call.lineno}"
        for name, tree in modules()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) == "finding.report"
        and not isinstance(call.args[0], ast.Constant)
        and not ast.unparse(call.args[0]).rpartition(".")[2].isupper()
        and not kinds_declared(name, tree)
    ]

    assert unnamed == []


def test_every_fix_of_the_table_is_offered() -> None:
    used = {entry.name for entry in fixes.TABLE.values() if isinstance(entry, fixes.Fix)}
    used |= {fix.name for beside in fixes.BESIDE.values() for fix in beside}

    assert used == {fix.name for fix in fixes.FIXES}


def test_every_acknowledgement_is_a_sentence() -> None:
    sentences = [entry for entry in fixes.TABLE.values() if isinstance(entry, str)]

    assert [text for text in sentences if not (text[0].isupper() and text.endswith("."))] == []
