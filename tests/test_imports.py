"""Who may import whom, so that the two flows stay apart and a vendor stays a folder."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parent.parent
APPS = ("paddle_sync", "billing_bridge")
OURS = ("integration_project", *APPS)
# What both apps stand on. The tables (urls, events, schedules), pages and commands sit above the apps.
COMMON_GROUND = (
    "api",
    "api_docs",
    "api_keys",
    "api_root",
    "budgets",
    "circuits",
    "clock",
    "configuration",
    "connections",
    "errors",
    "finding",
    "heartbeats",
    "ledger_admin",
    "list_exports",
    "logs",
    "mailing",
    "migrations",
    "models",
    "settings",
    "spreadsheets",
    "vendors",
    "work",
    "work_item",
)
BRIDGE_MAY_TAKE_FROM_SYNC = ("paddle_sync.models", "paddle_sync.intake")
# From the request down to the row: each may import what stands after it in this list, never what stands before.
LAYERS = (
    ("urls", "views", "admin", "management", "authentication", "apps", "checks"),
    ("intake", "review"),
    ("jobs",),
    ("processing", "importing", "pushing"),
    ("handlers", "charges", "settlement", "accounts", "story", "plans"),
    ("models", "money"),
)
BELOW_THE_SURFACE = 0.5
BOTTOM = float(len(LAYERS))


@cache
def direct_imports() -> tuple[tuple[str, str], ...]:
    """Every import written in one of our modules, as (importer, imported); of other people's packages only the name."""
    graph = grimp.build_graph(*OURS, include_external_packages=True, cache_dir=None)
    return tuple(
        (importer, imported)
        for importer in sorted(graph.modules)
        for imported in sorted(graph.find_modules_directly_imported_by(importer))
    )


def is_below(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def test_the_contracts_in_pyproject_are_kept() -> None:
    # In a process of its own: it sets logging up anew and so silences every logger that the other tests listen to.
    answer = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_vendors_and_errors_import_nothing_else_of_ours() -> None:
    own = ("integration_project.vendors", "integration_project.errors")

    strays = [
        (importer, imported)
        for importer, imported in direct_imports()
        if is_below(importer, *own) and is_below(imported, *OURS) and not is_below(imported, *own)
    ]

    assert strays == []


def test_no_vendor_imports_another() -> None:
    shared = {"http", "wsgi", "simulation", "words", "reading", "exact_json"}
    vendors = {
        folder.name
        for folder in (ROOT / "integration_project/vendors").iterdir()
        if folder.is_dir() and (folder / "__init__.py").exists() and folder.name not in shared
    }

    strays = [
        (importer, imported)
        for importer, imported in direct_imports()
        for vendor in vendors
        if is_below(importer, f"integration_project.vendors.{vendor}")
        and is_below(imported, *(f"integration_project.vendors.{other}" for other in vendors - {vendor}))
    ]

    assert strays == []


def test_a_client_and_its_simulator_do_not_know_each_other() -> None:
    strays = [
        (importer, imported)
        for importer, imported in direct_imports()
        if importer.startswith("integration_project.vendors.")
        and (
            (".simulator" in importer and imported.rpartition(".")[2] in {"client", "entities", "errors", "signature"})
            or (
                importer.rpartition(".")[2] in {"client", "entities", "errors", "signature"}
                and ".simulator" in imported
            )
        )
    ]

    assert strays == []


def test_the_common_ground_imports_neither_app() -> None:
    ground = tuple(f"integration_project.{name}" for name in COMMON_GROUND)

    strays = [
        (importer, imported)
        for importer, imported in direct_imports()
        if is_below(importer, *ground) and is_below(imported, *APPS)
    ]

    assert strays == []


def test_paddle_sync_never_imports_billing_bridge() -> None:
    strays = [
        (importer, imported)
        for importer, imported in direct_imports()
        if is_below(importer, "paddle_sync") and is_below(imported, "billing_bridge")
    ]

    assert strays == []


def test_billing_bridge_takes_only_models_and_intake_from_paddle_sync() -> None:
    strays = [
        (importer, imported)
        for importer, imported in direct_imports()
        if is_below(importer, "billing_bridge")
        and is_below(imported, "paddle_sync")
        and not is_below(imported, *BRIDGE_MAY_TAKE_FROM_SYNC)
    ]

    assert strays == []


def test_inside_an_app_imports_point_from_the_request_to_the_row() -> None:
    strays = [
        (importer, imported)
        for importer, imported in direct_imports()
        for app in APPS
        if is_below(importer, app)
        and is_below(imported, app)
        and layer(imported, unplaced=BOTTOM) < layer(importer, unplaced=BELOW_THE_SURFACE)
    ]

    assert strays == []


def layer(module: str, *, unplaced: float) -> float:
    """Give a module's place in LAYERS; one without a place may use all but the surface, and anyone may use it."""
    name = f"{module}.".split(".")[1]
    return next((place for place, names in enumerate(LAYERS) if name in names), unplaced)


def test_what_is_owed_is_computed_without_database_or_vendor() -> None:
    pure = tuple(f"billing_bridge.{name}" for name in ("adjusting", "explaining", "money", "netting", "owed"))

    strays = [
        (importer, imported)
        for importer, imported in direct_imports()
        if importer in pure and is_below(imported, "django", "requests", "integration_project.vendors")
    ]

    assert strays == []


def test_no_function_imports_a_module_of_ours() -> None:
    strays = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for package in OURS
        for path in sorted((ROOT / package).rglob("*.py"))
        # Django gives no other moment than ready() at which models exist and checks can be registered.
        if path.name != "apps.py"
        for node in imports_inside_functions(ast.parse(path.read_text(encoding="utf-8")))
    ]

    assert strays == []


def imports_inside_functions(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Import | ast.ImportFrom) and any(is_below(name, *OURS) for name in names(node)):
                    yield node


def names(node: ast.Import | ast.ImportFrom) -> list[str]:
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
