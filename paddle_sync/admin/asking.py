"""A page that shows what would happen, and asks before it does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import HttpRequest
from django.template.response import TemplateResponse

from integration_project.ledger_admin import LedgerAdmin
from integration_project.showing import Panel, Story, Text


@dataclass(frozen=True)
class Question:
    """A form on such a page, with what its button says."""

    form: forms.Form
    submit: str
    method: str = "post"
    action: str = ""
    strong: bool = False
    hidden: Sequence[tuple[str, str]] = ()
    has_file: bool = False


def ask(
    page: LedgerAdmin,
    request: HttpRequest,
    *,
    title: str,
    back: str,
    story: Story | None = None,
    before: Sequence[Question] = (),
    panels: Sequence[Panel | Text] = (),
    questions: Sequence[Question] = (),
    status: int = 200,
) -> TemplateResponse:
    """Show the page: what it is, what decides about what is shown, that, and what may be done then."""
    context: dict[str, Any] = {
        **page.admin_site.each_context(request),
        "title": title,
        "opts": page.opts,
        "story": story,
        "before": before,
        "panels": panels,
        "questions": questions,
        "back": back,
        "media": page.media,
    }
    request.current_app = page.admin_site.name
    return TemplateResponse(request, "admin/question.html", context, status=status)
