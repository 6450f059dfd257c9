"""Runs every check of the code that is not a test (`make lint`): all of them, then says which failed."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
CHECKS: dict[str, list[str]] = {
    "lint": [str(BIN / "ruff"), "check", "."],
    "format": [str(BIN / "ruff"), "format", "--check", "."],
    "types": [sys.executable, "-m", "mypy"],
    "import rules": [str(BIN / "lint-imports")],
    "dependencies": [str(BIN / "deptry"), "."],
    "security": [
        sys.executable, "-m", "bandit", "-q", "-c", "pyproject.toml", "-r",
        "integration_project", "paddle_sync", "billing_bridge", "manage.py",
    ],
    "newer Django idioms": ["django-upgrade"],
    "missing migrations": [sys.executable, "manage.py", "makemigrations", "--check", "--dry-run"],
}  # fmt: skip


def main(names: list[str]) -> int:
    """Run the named checks, or all."""
    environment = {**os.environ, "INTEGRATION_MODE": "test", "PYTHONPATH": str(ROOT)}
    failed = []
    for name in names or CHECKS:
        print(f"lint: {name}", flush=True)
        if subprocess.run(command(name), cwd=ROOT, env=environment, check=False).returncode:
            failed.append(name)
    print(f"lint: {'FAILED: ' + ', '.join(failed) if failed else 'all checks passed'}", flush=True)
    return 1 if failed else 0


def command(name: str) -> list[str]:
    """Write out one check's command line; django-upgrade knows no folders, only files."""
    if name != "newer Django idioms":
        return CHECKS[name]
    tracked = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [str(BIN / "django-upgrade"), "--target-version", "5.2", "--check", *tracked.split()]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
