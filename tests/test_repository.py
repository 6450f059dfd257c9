"""What may stand in a committed file, and what a tired eye misses."""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
MOST_LINES = 500
# Where a folder of somebody's machine begins; written in halves so that this file does not find itself.
MACHINE_PATHS = ("/" + "home/", "/" + "root/", "/" + "Users/", "/" + "work/")
INDEX_ADDRESS = re.compile(r"https?://[^ \"']+/simp" + r"le\b|index-url[ =]+\S*http|\bpypi\." + r"org\b|file:/" + r"//")
UNFINISHED = re.compile(
    r"\b(TO" + r"DO|FIX" + r"ME|(?<!\")XX" + r"X|HA" + r"CK)\b|NotImplemented" + r"Error|\bfor n" + r"ow\b"
)
MONEY_CODE = ("billing_bridge/", "integration_project/vendors/")


@cache
def tracked_files() -> tuple[str, ...]:
    """Every file of the repository, also those about to be added, or skip outside a clone."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git clone, so there is no list of committed files")
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return tuple(name for name in listed if (ROOT / name).is_file())


def lines_matching(
    pattern: re.Pattern[str], *, suffixes: tuple[str, ...] = ("",), under: tuple[str, ...] = ("",)
) -> list[str]:
    found = []
    for name in tracked_files():
        if not name.startswith(under) or not name.endswith(suffixes):
            continue
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [
            f"{name}:{number}: {line.strip()}"
            for number, line in enumerate(text.splitlines(), 1)
            if pattern.search(line)
        ]
    return found


def test_no_file_names_a_folder_of_one_machine() -> None:
    assert lines_matching(re.compile(r"(?<![\w.:/}>])(" + "|".join(map(re.escape, MACHINE_PATHS)) + ")")) == []


def test_no_file_holds_the_address_of_a_package_index() -> None:
    assert lines_matching(INDEX_ADDRESS) == []


def test_nothing_is_left_unfinished() -> None:
    assert lines_matching(UNFINISHED, suffixes=(".py", ".html", ".js", ".md", ".toml", "Makefile", ".ci/run")) == []


def test_no_float_comes_near_money() -> None:
    assert lines_matching(re.compile(r"\bfloat\("), suffixes=(".py",), under=MONEY_CODE) == []


def test_no_exception_is_swallowed() -> None:
    swallowed = re.compile(r"except( Exception| BaseException)?:\s*\n\s*(pass|continue)\b")

    guilty = [
        name
        for name in tracked_files()
        if name.endswith(".py") and not name.startswith("tests/") and swallowed.search((ROOT / name).read_text("utf-8"))
    ]

    assert guilty == []


def test_no_test_sleeps() -> None:
    assert (
        lines_matching(re.compile(r"\btime\.sle" + r"ep\("), suffixes=(".py",), under=("tests/test_", "tests/vendors"))
        == []
    )


def test_no_python_file_is_longer_than_a_person_reads() -> None:
    long = {
        name: length
        for name in tracked_files()
        if name.endswith(".py") and "/migrations/" not in name
        if (length := len((ROOT / name).read_text(encoding="utf-8").splitlines())) > MOST_LINES
    }

    assert long == {}


def test_no_secret_or_database_is_committed() -> None:
    refused = re.compile(r"(^|/)(\.env|uv\.lock|pylock\.toml)$|\.(sqlite3|pem|key)$")

    assert [name for name in tracked_files() if refused.search(name)] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_file_pins_every_package_by_hash_and_names_no_address(lock: Path) -> None:
    entries = [line for line in re.split(r"\n(?=\S)", lock.read_text(encoding="utf-8")) if line.strip()]

    assert entries
    assert [entry for entry in entries if not re.match(r"[a-z0-9.-]+(\[[a-z0-9,-]+\])?==\S+ ", entry)] == []
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in lock.read_text(encoding="utf-8")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_psycopg_3_is_not_installed_because_django_would_prefer_it(lock: Path) -> None:
    assert re.findall(r"^psycopg(?:\[|==|-binary|-c\b).*", lock.read_text(encoding="utf-8"), flags=re.MULTILINE) == []


def test_the_locks_agree_on_every_version() -> None:
    versions: dict[str, set[str]] = {}
    for lock in LOCKS:
        for package, version in re.findall(
            r"^([a-z0-9.-]+)==(\S+)", lock.read_text(encoding="utf-8"), flags=re.MULTILINE
        ):
            versions.setdefault(package, set()).add(version)

    assert {package: found for package, found in versions.items() if len(found) > 1} == {}
