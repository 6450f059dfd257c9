"""Rows of the console that people may edit: each save says why, and History compares one version with the next."""

from typing import Any

from django import forms
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from integration_project.ledger_admin import LedgerAdmin
from integration_project.showing import Panel, at


class WhyForm(forms.Form):
    """The question that stands in every form whose save changes something."""

    reason = forms.CharField(
        label="Why this change?",
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 2, "class": "c-input"}),
        help_text="Kept for ever in History, beside your name and the time.",
    )


class ReasonedModelForm(forms.ModelForm, WhyForm):  # type: ignore[type-arg]
    """A form whose every save says why."""


def change_in_history(form: Any, *, add: bool) -> str:
    """Write what History keeps of a saved form: the fields that changed, and the reason."""
    fields = ", ".join(str(form.fields[name].label or name) for name in form.changed_data if name != "reason")
    did = "Added" if add else f"Changed {fields or 'nothing'}"
    return f"{did}. Reason: {form.cleaned_data['reason']}"


class ReasonedAdmin(LedgerAdmin):
    """Rows that people may edit, each change with its reason; their History compares one version with the next."""

    form = ReasonedModelForm
    object_history_template = "admin/version_history.html"

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Follow the roles."""
        return bool(request.user.has_perm(f"{self.opts.app_label}.add_{self.opts.model_name}"))

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Follow the roles."""
        return bool(request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}"))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save, with the reason in the version's history."""
        obj._change_reason = form.cleaned_data["reason"]
        super().save_model(request, obj, form, change)

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        """Put the changed fields and the reason into History."""
        return change_in_history(form, add=add)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show every version: when, who, what changed, why; rows that are gone still have theirs."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            key = self.opts.pk.to_python(unquote(object_id))
        except ValidationError:
            raise Http404 from None
        versions = list(self.model.log.filter(id=key).select_related("history_user").order_by("-history_id")[:200])
        row = versions[0].instance if versions else self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        panel = Panel(
            "History",
            ("When", "Who", "What", "Why"),
            [
                (
                    at(version.history_date),
                    version.history_user.get_username() if version.history_user else "the application",
                    _difference(version, earlier),
                    version.history_change_reason or "-",
                )
                for version, earlier in zip(versions, [*versions[1:], None], strict=False)
            ],
            empty="Nobody has changed it since it came with the application.",
        )
        context = {
            **self.admin_site.each_context(request),
            "title": f"History: {row}",
            "opts": self.opts,
            "panels": [panel],
            "back": self.page_after(row),
            **(extra_context or {}),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/version_history.html", context)


def _difference(version: Any, earlier: Any) -> SafeString:
    """Say what a version changed."""
    if version.history_type == "-":
        return SafeString("Removed")
    if earlier is None:
        return SafeString("Added")
    changes = version.diff_against(earlier, foreign_keys_are_objs=False).changes
    words = ((change.field.replace("_", " "), _said(change.old), _said(change.new)) for change in changes)
    return format_html_join(SafeString("<br>"), "{}: {} → {}", words) or SafeString("Nothing")


def _said(value: Any) -> str:
    return "nothing" if value in (None, "") else str(value)
