"""`manage.py run_simulators` as people and scripts use it: a process of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from django.core.management import CommandError, call_command

ROOT = Path(__file__).resolve().parents[2]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "run_simulators", *arguments],
            cwd=ROOT,
            env={**os.environ, "INTEGRATION_MODE": "demo"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_all_vendors_answer_until_told_to_stop(start: Start) -> None:
    process = start("--json", "--start-at", "2026-02-01T09:00:00+01:00")
    said = json.loads(first_line(process))

    paddle = requests.get(
        f"{said['paddle']['url']}/products",
        headers={"Authorization": f"Bearer {said['paddle']['api_key']}"},
        timeout=10,
    )
    m3ter = requests.post(
        f"{said['m3ter']['url']}/oauth/token",
        auth=(said["m3ter"]["access_key_id"], said["m3ter"]["api_secret"]),
        json={"grant_type": "client_credentials"},
        timeout=10,
    )
    classic = requests.post(
        f"{said['classic']['url']}/api/2.0/subscription/plans",
        data={"vendor_id": said["classic"]["vendor_id"], "vendor_auth_code": said["classic"]["auth_code"]},
        timeout=10,
    )
    states = [
        requests.get(f"{said[vendor]['control']}state", timeout=10).json() for vendor in ("paddle", "classic", "m3ter")
    ]
    process.send_signal(signal.SIGTERM)

    assert process.wait(20) == 0
    assert (paddle.status_code, m3ter.status_code) == (200, 200)
    assert classic.json()["success"] is True
    assert said["classic"]["public_key"].startswith("-----BEGIN PUBLIC KEY-----")
    assert [state["vendor"] for state in states] == ["paddle", "paddle_classic", "m3ter"]
    assert {state["now"][:16] for state in states} == {"2026-02-01T08:00"}
    assert {said["paddle"]["url"][:17], said["m3ter"]["url"][:17]} == {"http://127.0.0.1:"}


def test_people_are_told_the_addresses_and_keys(start: Start) -> None:
    process = start()
    assert first_line(process).startswith("Paddle  http://127.0.0.1:")
    process.send_signal(signal.SIGINT)

    assert process.stdout is not None
    rest = process.stdout.read()
    assert process.wait(20) == 0
    for word in (
        "API key",
        "organisation",
        "access key id",
        "vendor id",
        "/_control/public_key",
        "The simulators have stopped.",
    ):
        assert word in rest


def test_a_port_that_is_taken_is_one_sentence(start: Start) -> None:
    said = json.loads(first_line(start("--json")))
    port = said["paddle"]["url"].rpartition(":")[2]

    second = start("--paddle-port", "0", "--m3ter-port", port)
    _, errors = second.communicate(timeout=30)

    assert second.returncode == 1
    assert errors.startswith(f"CommandError: The m3ter simulator cannot listen on port {port}:")
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--paddle-port", "70000"], "'70000' is not a port"),
        (["--m3ter-port", "x"], "'x' is not a port"),
        (["--start-at", "2026-02-01"], "names no time zone"),
        (["--start-at", "soon"], "not a moment with a time zone"),
    ],
)
def test_a_wrong_argument_is_refused(arguments: list[str], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        call_command("run_simulators", *arguments)
