"""What tests of the usage pages type and read."""

import html
import re
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from paddle_sync.models import UsageUpload

ADD = reverse("admin:paddle_sync_usageupload_add")
LIST = reverse("admin:paddle_sync_usageupload_changelist")


def columns_of(upload: UsageUpload) -> str:
    """The address of the page that says what its columns mean."""
    return reverse("admin:paddle_sync_usageupload_columns", args=(upload.pk,))


def uploaded(client: Client, content: bytes, name: str = "usage.csv", **answers: str) -> Any:
    """Upload these bytes by the form; gives the answer."""
    file = SimpleUploadedFile(name, content)
    return client.post(ADD, {"file": file, "on_errors": "stop", "reason": "", **answers})


def filled_in(client: Client, upload: UsageUpload) -> dict[str, str]:
    """What the form of its columns would send back as it stands."""
    form = client.get(columns_of(upload)).context["form"]
    answers = {name: form[name].value() for name in form.fields}
    return {
        name: "on" if value is True else value or ""
        for name, value in answers.items()
        if value is not False and value is not None
    }


def buttons(answer: Any) -> list[str]:
    """The decisions that a page offers."""
    return [button["label"] for button in answer.context["buttons"]]


def shown(answer: Any) -> str:
    """The words of a page, without its markup."""
    text = answer.text.partition("<main")[2] or answer.text
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


def body(answer: Any) -> str:
    """A file that was given."""
    assert answer.status_code == 200
    return b"".join(answer.streaming_content).decode()


def unlabelled(page: str) -> list[str]:
    """What the rest of a form asks without a label that a screen reader can say."""
    page = page.partition("</form>")[0]
    labelled = set(re.findall(r'<label for="([^"]+)"', page))
    found = re.findall(r"<(?:input|select|textarea)\b[^>]*>", page)
    silent = []
    for tag in found:
        name = re.search(r'\bid="([^"]+)"', tag)
        if 'type="hidden"' in tag or "aria-label" in tag or "<main" in tag:
            continue
        if name is None or name[1] not in labelled:
            silent.append(tag)
    return silent
