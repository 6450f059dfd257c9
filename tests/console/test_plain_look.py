"""The console does not hang on its look: without unfold, plain Django admin serves the same pages."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = """
from integration_project.settings import *
INSTALLED_APPS = [name for name in INSTALLED_APPS if not name.startswith("unfold")]
"""
PROGRAM = """
import django
django.setup()
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

call_command("migrate", verbosity=0)
from tests.console.rows import make_everything
rows = make_everything()
client = Client()
client.force_login(User.objects.create_superuser("root"))
pages = [reverse("admin:index"), reverse("admin:login"), reverse("admin:paddle_sync_planmapping_add")]
for model in admin.site._registry:
    base = f"admin:{model._meta.app_label}_{model._meta.model_name}_"
    pages.append(reverse(base + "changelist"))
    pages.append(reverse(base + "change", args=(model._default_manager.first().pk,)))
pages.append(reverse("admin:billing_bridge_pushedbill_decide", args=(rows.held.pk, "approve")))
for page in pages:
    answer = client.get(page, follow=True)
    assert answer.status_code == 200, page
    assert "unfold" not in answer.text, page
    assert "SANDBOX" in answer.text or page == reverse("admin:login"), page
assert "Needs attention" in client.get(reverse("admin:index")).text
bill = reverse("admin:billing_bridge_pushedbill_change", args=(rows.unconfirmed.pk,))
assert "It is in Paddle" in client.get(bill).text
key = reverse("admin:integration_project_apikey_add")
form = {"client": "Agents", "scopes": "usage:read", "calls_per_minute": "60", "reason": "Asked."}
assert 'name="scopes"' in client.get(key).text
assert "It is shown now and never again." in client.post(key, form).text
for page in ("add/", f"{rows.usage_file.pk}/columns/"):
    answer = client.get(reverse("admin:paddle_sync_usageupload_changelist") + page)
    assert answer.status_code == 200, page
    assert "unfold" not in answer.text, page
print(len(pages), "pages")
"""


def test_every_page_opens_without_unfold(tmp_path: Path) -> None:
    (tmp_path / "plain_settings.py").write_text(SETTINGS)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}",
        "DJANGO_SETTINGS_MODULE": "plain_settings",
        "INTEGRATION_MODE": "test",
        "TEST_DATABASE_URL": f"sqlite:///{tmp_path / 'plain.sqlite3'}",
    }

    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.strip().endswith("pages")
