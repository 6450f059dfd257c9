"""The console's pages of API keys: whose there are, making one, which is shown once, and ending it."""

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import replace as changed
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.db import IntegrityError
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString

from integration_project import api_keys, clock, showing
from integration_project.api_keys import MadeKey
from integration_project.ledger_admin import DayInput, Decision, LedgerAdmin, ReasonForm
from integration_project.models import ApiKey
from integration_project.reasoned_admin import ReasonedModelForm, change_in_history
from integration_project.showing import Link, Panel, Story, Text

MAY_MAKE = "integration_project.make_apikey"
MAY_REVOKE = "integration_project.revoke_apikey"
MOST_CALLS = 60_000
LATEST = dt.timedelta(days=3653)
A_DAY = dt.timedelta(days=1)
MADE_ALREADY = (
    "This form has made its key already, and a key is shown once. If nobody noted it, revoke it and make another."
)


def check_day(day: dt.date) -> None:
    """Refuse a last day that is over, or further away than anybody plans."""
    today = clock.now().date()
    if day < today:
        raise forms.ValidationError("This day is over. The key would not work at all.")
    if day > today + LATEST:
        raise forms.ValidationError("At most ten years ahead. Leave it empty for a key without an end.")


def end_of(day: dt.date | None) -> dt.datetime | None:
    """Find the moment at which a day is over."""
    return None if day is None else dt.datetime.combine(day + A_DAY, dt.time(), tzinfo=dt.UTC)


class LastDay(forms.DateField):
    """The last day on which a key works; none, for a key without an end."""

    default_validators = [check_day]

    def __init__(self, label: str, *, help_text: str) -> None:
        super().__init__(label=label, required=False, widget=DayInput(), help_text=help_text)


class ApiKeyForm(ReasonedModelForm):
    """Whose key it will be, and what for."""

    client = forms.CharField(
        label="Client",
        max_length=100,
        widget=forms.TextInput(attrs={"class": "c-input"}),
        help_text="The program that will use it, or the team that runs it. Give each its own key.",
    )
    scopes = forms.MultipleChoiceField(
        label="What it may do",
        choices=ApiKey.Scope.choices,
        widget=forms.CheckboxSelectMultiple,
        help_text="Not more than it needs. It cannot be changed later.",
    )
    calls_per_minute = forms.IntegerField(
        label="Calls a minute",
        min_value=1,
        max_value=MOST_CALLS,
        initial=600,
        widget=forms.NumberInput(attrs={"class": "c-input"}),
        help_text="Of these, the calls of ten seconds may come at once. A call carries up to 1,000 measurements.",
    )
    last_day = LastDay("Last day", help_text="Year-month-day, in UTC. Empty: it works until somebody revokes it.")
    form_id = forms.UUIDField(required=False, widget=forms.HiddenInput, initial=uuid.uuid4)

    class Meta:
        model = ApiKey
        fields = ("client", "scopes", "calls_per_minute")

    def clean(self) -> dict[str, Any]:
        """Make one key from one form, however often it is sent."""
        answers = super().clean() or self.cleaned_data
        form_id: uuid.UUID | None = answers.get("form_id")
        if form_id and ApiKey.objects.filter(made_from=form_id).exists():
            self.add_error(None, MADE_ALREADY)
        return answers


class ReplaceForm(ReasonForm):
    """Until when the old key works, and the new one."""

    field_order = ("old_last_day", "last_day", "reason")
    old_last_day = LastDay(
        "Last day of the old key",
        help_text="Year-month-day, in UTC: time for the client to change over. Empty: it is revoked now.",
    )
    last_day = LastDay("Last day of the new key", help_text="Empty: it works until somebody revokes it.")

    def clean(self) -> dict[str, Any]:
        """Leave out what was not answered, so that History does not say that it was."""
        return {name: answer for name, answer in (super().clean() or {}).items() if answer is not None}


class StateFilter(admin.SimpleListFilter):
    """Keys that let in, and those that do not any more."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> tuple[tuple[str, str], ...]:
        """Name the states."""
        return (("works", "Works"), ("expired", "Expired"), ("revoked", "Revoked"))

    def queryset(self, request: HttpRequest, queryset: "QuerySet[ApiKey]") -> "QuerySet[ApiKey]":
        """Choose the keys of a state as of now."""
        now = clock.now()
        match self.value():
            case "works":
                return queryset.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)
            case "expired":
                return queryset.filter(expires_at__lte=now, revoked_at=None)
            case "revoked":
                return queryset.exclude(revoked_at=None)
            case _:
                return queryset


def may_be_replaced(key: ApiKey) -> bool:
    """Say whether the key is its client's last one, and nobody has ended it."""
    return key.revoked_at is None and not ApiKey.objects.filter(replaces=key).exists()


@admin.register(ApiKey)
class ApiKeyAdmin(LedgerAdmin):
    """Keys of the REST API's clients. What a key may is decided when it is made; afterwards it is replaced or ended."""

    form = ApiKeyForm
    list_display = ("client", "beginning", "what_it_may", "calls_per_minute", "used", "state_in_words", "made")
    list_filter = (StateFilter,)
    search_fields = ("client__istartswith", "prefix__startswith")
    search_help_text = "How a client's name, or a key, begins."
    ordering = ("-id",)
    readonly_fields = ("beginning", "what_it_may", "made", "made_by", "ends", "revoked", "revoked_by", "used")
    nothing_yet = "No program may call the REST API. Add a key for the first one."
    decisions = (
        Decision(
            name="replace",
            label="Replace",
            permission=MAY_MAKE,
            effect="A new key is made for the same client, with the same scopes and calls a minute, and shown once. The"
            " old one works until the end of the day chosen here, or is revoked now.",
            done="replaced",
            decide=api_keys.replace,
            offered=may_be_replaced,
            form=ReplaceForm,
            strong=True,
        ),
        Decision(
            name="revoke",
            label="Revoke",
            permission=MAY_REVOKE,
            effect="Whoever uses the key is refused from the next call on. This cannot be taken back.",
            done="revoked",
            decide=api_keys.revoke,
            offered=api_keys.works,
            bulk=True,
        ),
    )

    made = showing.moment("made_at", description="Made")
    ends = showing.moment("expires_at", description="Works until")
    revoked = showing.moment("revoked_at", description="Revoked")

    @admin.display(description="Key", ordering="prefix")
    def beginning(self, key: ApiKey) -> str:
        """Show how it begins."""
        return f"{key.prefix}..."

    @admin.display(description="What it may do")
    def what_it_may(self, key: ApiKey) -> str:
        """Name the scopes."""
        return in_words(key)

    @admin.display(description="Last used", ordering="last_used_at")
    def used(self, key: ApiKey) -> SafeString | str:
        """Show when it was last used."""
        return showing.ago(key.last_used_at) if key.last_used_at else "never"

    @admin.display(description="State")
    def state_in_words(self, key: ApiKey) -> SafeString:
        """Say whether it lets its client in."""
        return state_of(key)

    # --- Who may ------------------------------------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let those make keys who may."""
        return bool(request.user.has_perm(MAY_MAKE))

    # --- Making one ---------------------------------------------------------------------------------------------------

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[Any, ...]:
        """Ask for a new key; of one that is there, show."""
        if obj is None:
            return ("client", "scopes", "calls_per_minute", "last_day", "reason", "form_id")
        return (
            ("client", "beginning"),
            ("what_it_may", "calls_per_minute"),
            ("made", "made_by"),
            ("ends", "used"),
            ("revoked", "revoked_by"),
        )

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Offer one way of saving: what comes next is the page that shows the key."""
        context = {"show_save_and_continue": False, "show_save_and_add_another": False, **(extra_context or {})}
        try:
            return super().add_view(request, form_url, context)
        except IntegrityError:  # the same form at the same moment: a double click
            self.message_user(request, MADE_ALREADY, messages.WARNING)
            return HttpResponseRedirect(showing.list_of(ApiKey))

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """Make the key; its text goes into this very answer."""
        obj.made_by = request.user  # type: ignore[assignment]  # nobody comes here without having logged in
        obj.made_from = form.cleaned_data["form_id"] or uuid.uuid4()
        obj.expires_at = end_of(form.cleaned_data["last_day"])
        hand_over(request, api_keys.save_with_key(obj))

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        """Put the reason into History."""
        return change_in_history(form, add=add)

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """Show the key, in the answer to the form and nowhere else."""
        return self.show_once(request)

    def decision(self, request: HttpRequest, name: str) -> Decision:
        """Let a replacement hand its key to this very answer."""
        found = super().decision(request, name)
        return changed(found, decide=partial(self.replace_here, request)) if name == "replace" else found

    def replace_here(
        self,
        request: HttpRequest,
        key_id: int,
        *,
        by: str,
        reason: str,
        old_last_day: dt.date | None = None,
        last_day: dt.date | None = None,
    ) -> None:
        """Replace a key; the new one's History says why it was made, too."""
        made = api_keys.replace(
            key_id, by=by, reason=reason, old_until=end_of(old_last_day), expires_at=end_of(last_day)
        )
        self.log_addition(request, made.row, f"Added to replace {made.row.replaces}. Reason: {reason}")
        hand_over(request, made)

    def after_decision(self, request: HttpRequest, row: ApiKey, decision: Decision) -> HttpResponse | None:
        """Show the key that replaces another."""
        return self.show_once(request) if decision.name == "replace" else None

    def show_once(self, request: HttpRequest) -> HttpResponse:
        """Show the page of the key that this request made; nobody keeps that page, and nothing can make it again."""
        made: MadeKey = request.made_key  # type: ignore[attr-defined]
        address = request.build_absolute_uri("/api/v1/")
        context = {
            **self.admin_site.each_context(request),
            "title": f"The key of {made.row.client}",
            "opts": self.opts,
            "story": Story(
                "wait",
                f"This is the key of {made.row.client}. It is shown now and never again.",
                "Only its first letters and its hash are kept here.",
                "Copy it to where the client keeps its secrets, before you leave this page.",
            ),
            "key": showing.copyable(made.text),
            "panels": (Text("Try it", f'curl {address} -H "Authorization: Bearer {made.text}"'),),
            "back": self.page_after(made.row),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/key_once.html", context)

    # --- What pages say -----------------------------------------------------------------------------------------------

    def saved_views(self, request: HttpRequest) -> Sequence[Link]:
        """Give the views people come back to."""
        return tuple(
            Link(label, showing.list_of(ApiKey, urlencode({"state": state})))
            for label, state in (("Working", "works"), ("Expired", "expired"), ("Revoked", "revoked"))
        )

    def story(self, request: HttpRequest, row: ApiKey) -> Story:
        """Say whether it lets its client in, and what to do where it does not."""
        used = f"It was last used {showing.since(row.last_used_at)}." if row.last_used_at else "It was never used."
        if row.revoked_at is not None:
            who = row.revoked_by.get_username() if row.revoked_by else "the application"
            return Story("calm", f"Revoked by {who} {showing.since(row.revoked_at)}.", f"It lets nobody in. {used}")
        if api_keys.is_expired(row) and row.expires_at is not None:
            cause = f"It has expired: its time was over on {showing.exactly(row.expires_at)}."
            return Story("bad", cause, f"It lets nobody in. {used}", "Replace it, if its client still calls.")
        until = f" until {showing.exactly(row.expires_at)}" if row.expires_at else ""
        return Story("good", f"It lets {row.client} in{until}. What it may: {in_words(row)}.", used)

    def links(self, request: HttpRequest, row: ApiKey) -> Sequence[Link]:
        """Link to the key before it and the one after it."""
        after = ApiKey.objects.filter(replaces=row).first()
        before = row.replaces
        return (
            *((Link(f"It replaces {before}", showing.page_of(before)),) if before else ()),
            *((Link(f"Replaced by {after}", showing.page_of(after), strong=True),) if after else ()),
        )

    def panels(self, request: HttpRequest, row: ApiKey) -> Sequence[Panel | Text]:
        """Show what its client sends."""
        address = request.build_absolute_uri("/api/v1/")
        return (Text("How its client calls", f'curl {address} -H "Authorization: Bearer {row.prefix}..."'),)


def hand_over(request: HttpRequest, made: MadeKey) -> None:
    """Give a new key to the answer of the request that made it: it lives as long as that request."""
    request.made_key = made  # type: ignore[attr-defined]


def in_words(key: ApiKey) -> str:
    """Name a key's scopes as people read them; one that this version does not know keeps its code."""
    names = dict(ApiKey.Scope.choices)
    return ", ".join(str(names.get(scope, scope)) for scope in key.scopes) or "nothing but test itself"


def state_of(key: ApiKey) -> SafeString:
    """Show a key's state in words and colour."""
    if key.revoked_at is not None:
        return showing.label("Revoked", "calm")
    if api_keys.is_expired(key):
        return showing.label("Expired", "bad")
    if key.expires_at is not None:
        return showing.label(f"Works, ends {showing.relative(key.expires_at)}", "wait")
    return showing.label("Works", "good")
