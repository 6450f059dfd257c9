"""What a person can set, type, click or point another program at is in README."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.core.management import get_commands
from django.urls import URLPattern, URLResolver, get_resolver

from integration_project.vendors.m3ter.simulator import M3terSimulator
from integration_project.vendors.paddle.simulator import PaddleSimulator

ROOT = Path(__file__).resolve().parent.parent
OURS = ("integration_project", "paddle_sync", "billing_bridge")
PUBLIC = ("webhooks/", "health/", "metrics", "api/")
# Where Django and unfold keep the names of what can be clicked.
ACTION_LISTS = ("actions", "actions_list", "actions_row", "actions_detail", "actions_submit_line")


@pytest.fixture(scope="module")
def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def settings_read_from_the_environment() -> set[str]:
    """Find every variable that settings.py asks for: what stands first in a call of a method, in capitals."""
    tree = ast.parse((ROOT / "integration_project/settings.py").read_text(encoding="utf-8"))
    asked = [
        call.args[0]
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.args
    ]
    names = {first.value for first in asked if isinstance(first, ast.Constant) and isinstance(first.value, str)}
    return {name for name in names if name.isupper()} - {"INTEGRATION_MODE"}


def admin_actions() -> set[str]:
    """Find what the console's action menus and buttons say, over every model of ours."""
    ours = [model_admin for model, model_admin in admin.site._registry.items() if model._meta.app_label in OURS]
    menus = {words(getattr(model_admin, name)) for model_admin in ours for name in action_names(model_admin)}
    return menus | {each.label for model_admin in ours for each in getattr(model_admin, "decisions", ())}


def action_names(model_admin: "ModelAdmin[Any]") -> Iterator[str]:
    for attribute in ACTION_LISTS:
        yield from flat(getattr(model_admin, attribute, None) or ())


def flat(names: Iterable[object]) -> Iterator[str]:
    """Unfold lets a list hold dictionaries with a title and the items of a drop-down menu."""
    for name in names:
        if isinstance(name, dict):
            yield from flat(name["items"])
        elif isinstance(name, str):
            yield name


def controls() -> set[str]:
    """Find everything that a person can let the simulated vendors do."""
    return {name for simulator in (PaddleSimulator(), M3terSimulator()) for name in simulator.control_names()}


def words(action: object) -> str:
    """Read an action's description as far as its first placeholder, which Django fills in."""
    said = str(getattr(action, "short_description", "") or getattr(action, "__name__", "")).replace("_", " ")
    return said.split("%(")[0].strip()


def public_paths(entries: Iterable[URLPattern | URLResolver], before: str = "") -> Iterator[str]:
    """Find the addresses that other programs call, each as far as its first variable part."""
    for entry in entries:
        path = before + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from public_paths(entry.url_patterns, path)
        elif path.startswith(PUBLIC):
            yield "/" + re.split(r"[<(]", path)[0].strip("^$")


def test_every_setting_is_in_the_readme(readme: str) -> None:
    settings = settings_read_from_the_environment()

    assert {"SECRET_KEY", "DATABASE_URL", "PADDLE_API_KEY", "M3TER_API_SECRET"} <= settings
    assert [name for name in sorted(settings) if f"`{name}`" not in readme] == []


def test_every_command_is_in_the_readme(readme: str) -> None:
    commands = [name for name, app in get_commands().items() if app in OURS]

    assert [name for name in sorted(commands) if not re.search(rf"\b{name}\b", readme)] == []


def test_every_action_of_the_console_is_in_the_readme(readme: str) -> None:
    assert [action for action in sorted(admin_actions()) if action.lower() not in readme.lower()] == []


def test_every_address_for_other_programs_is_in_the_readme(readme: str) -> None:
    paths = set(public_paths(get_resolver().url_patterns))

    assert [path for path in sorted(paths) if path not in readme] == []


def test_every_control_of_the_simulators_is_in_the_readme(readme: str) -> None:
    names = controls()

    assert {"reset", "complete_checkout", "run_bill_job"} <= names
    assert [name for name in sorted(names) if f"`{name}`" not in readme] == []


def test_every_make_target_is_in_the_readme(readme: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^make ([a-z]+)", "\n".join(re.findall(r"make [a-z]+", makefile)), flags=re.MULTILINE)

    assert targets
    assert [target for target in sorted(set(targets)) if f"make {target}" not in readme] == []
