"""No binary fraction is anywhere on the way of money: from a vendor's bytes to what is charged, and in the ledger."""

import ast
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from django.apps import apps
from django.db import models

from billing_bridge.money import Money, NotExact
from integration_project.vendors import exact_json

ROOT = Path(__file__).resolve().parent.parent
VENDORS = ROOT / "integration_project" / "vendors"
WAYS = (
    *sorted((ROOT / "billing_bridge").rglob("*.py")),
    *(
        path
        for vendor in ("paddle", "m3ter", "paddle_classic")
        for path in sorted((VENDORS / vendor).rglob("*.py"))
        if "simulator" not in path.parts and path.name != "token.py"
    ),
    VENDORS / "reading.py",
    VENDORS / "exact_json.py",
)
"""Where amounts are read, calculated, shown and sent; m3ter's token only knows seconds."""
SECONDS = {
    "billing_bridge/importing.py": {0.1},
    "billing_bridge/jobs.py": {150.0},
    "billing_bridge/management/commands/reconcile.py": {1.0, 60.0, 3600.0},
    "integration_project/vendors/paddle/errors.py": {60.0},
    "integration_project/vendors/paddle_classic/errors.py": {60.0},
}
"""Binary fractions that are seconds, in files where no amount is near: each is named."""
DIVIDES = frozenset({"integration_project/vendors/paddle/rehearsed.py", "billing_bridge/planning.py"})
"""Where nothing is charged by what comes of it: Decimals, for the tax that a dry run shows; minutes, for a plan."""
MADE_OF_FLOATS = frozenset({"FloatField", "float", "fsum", "sqrt"})


def floats_in(path: Path) -> Iterator[str]:
    """Every place at which a binary fraction could come about."""
    allowed = SECONDS.get(path.relative_to(ROOT).as_posix(), set())
    for node in ast.walk(ast.parse(path.read_text())):
        where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Constant) and isinstance(node.value, float) and node.value not in allowed:
            yield f"{where}: the number {node.value}"
        divides = isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div)
        if divides and path.relative_to(ROOT).as_posix() not in DIVIDES:
            yield f"{where}: a true division"
        if isinstance(node, ast.Call) and _name(node.func) in MADE_OF_FLOATS:
            yield f"{where}: {_name(node.func)}()"
        if (
            isinstance(node, ast.Call)
            and _reads_json(node)
            and "parse_float" not in {word.arg for word in node.keywords}
        ):
            yield f"{where}: JSON is read without parse_float"


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _reads_json(call: ast.Call) -> bool:
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    return _name(call.func) in {"loads", "load", "json"} and (_name(call.func) == "json" or _name_of(owner) == "json")


def _name_of(expression: ast.expr | None) -> str:
    return expression.id if isinstance(expression, ast.Name) else ""


def test_no_float_is_on_the_way_of_money() -> None:
    assert len(WAYS) > 60
    assert [place for path in WAYS for place in floats_in(path)] == []


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("amount = 0.5", "the number 0.5"),
        ("half = amount / 2", "a true division"),
        ("amount /= 2", "a true division"),
        ("amount = float(text)", "float()"),
        ("amount = models.FloatField()", "FloatField()"),
        ("bill = response.json()", "JSON is read without parse_float"),
        ("bill = json.loads(body)", "JSON is read without parse_float"),
    ],
)
def test_the_check_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, what: str) -> None:
    monkeypatch.setattr("tests.test_no_floats.ROOT", tmp_path)
    path = tmp_path / "way.py"
    path.write_text(line)

    assert [found.partition(": ")[2] for found in floats_in(path)] == [what]


def test_no_column_of_bills_is_a_float() -> None:
    fields = [
        field for model in apps.get_app_config("billing_bridge").get_models() for field in model._meta.get_fields()
    ]

    assert [field for field in fields if isinstance(field, models.FloatField)] == []


def test_json_and_money_refuse_floats() -> None:
    read = exact_json.decode(b'{"amount": 0.1, "many": 1e-5, "whole": 3}')

    assert read == {"amount": Decimal("0.1"), "many": Decimal("1E-5"), "whole": 3}
    assert {type(value) for value in read.values()} == {Decimal, int}
    with pytest.raises(NotExact):
        Money(0.1, "EUR")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        exact_json.encode(json.loads('{"amount": 0.1}'))
