"""The console's page of push policy: plain questions, each with what its answer brings about."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path

from billing_bridge import composing
from billing_bridge.admin.text_preview import PreviewedText, reads_view
from billing_bridge.models import ProductRule, PushedBill, PushPolicy
from billing_bridge.models.policies import accounts_of
from integration_project import installation, showing
from integration_project.errors import NotPossible
from integration_project.ledger_admin import Decision
from integration_project.models import MailRule
from integration_project.reasoned_admin import ReasonedAdmin, ReasonedModelForm
from integration_project.showing import Link, Panel, Story, Text
from paddle_sync.models import AccountLink

MOST_NAMED = 5
"""Accounts that a sentence names."""
# Question, and what the answers bring about.
QUESTIONS: dict[str, tuple[str, str]] = {
    "link": (
        "Whose bills does this override?",
        "One account link. Its bills follow this page instead of everybody's policy; that one's answers stand below.",
    ),
    "review": (
        "Which bills does Finance look at before they are charged?",
        "Every bill, those above the amount below, or none: those are charged as soon as they are found.",
    ),
    "review_above": (
        "Above which amount?",
        "For the second answer above only; in each bill's own currency, whichever that is.",
    ),
    "differs_percent": (
        "Hold a bill that differs from the account's last one by more than how many percent?",
        "Catches mistakes in prices and usage before customers see them. Empty: bills are not compared.",
    ),
    "allowed_accounts": (
        "Only for some accounts?",
        "m3ter account codes or ids, one a line. Bills of all others are skipped. Empty: every account.",
    ),
    "excluded_accounts": (
        "Leave out which accounts?",
        "m3ter account codes or ids, one a line. Their bills are skipped; resend takes that back later.",
    ),
    "mode": (
        "When are customers charged?",
        "With the renewal, together with its fee; at once, at most 20 an hour; by invoice, in USD, EUR and GBP only.",
    ),
    "classic_mode": (
        "And customers whose subscription Paddle Classic keeps?",
        "By a modifier of the next payment; or at once, by a charge that no list names, so a person may have to look.",
    ),
    "on_payment_failure": (
        "And when a charge made at once is declined?",
        "Nothing is billed: the bill is failed. It stays billed: the subscription is past due until it is paid.",
    ),
    "payment_days": (
        "How many days does a customer have to pay an invoice?",
        "For bills charged by an invoice of their own.",
    ),
    "issue_invoices": (
        "Are those invoices issued at once?",
        "Yes: Paddle sends them to the customer. No: they are drafts in Paddle, which a person issues there.",
    ),
    "grouping": (
        "How many items does the customer see?",
        "One for each line of the bill, one for each product, or one for the whole bill (one for each way of taxing).",
    ),
    "small": (
        "What becomes of a bill that is too small for Paddle to charge?",
        "Carried: the account's next bill takes it. Held: a person decides each time.",
    ),
    "negative": (
        "What becomes of what a customer is owed?",
        "It lowers the next bills; a person decides; or it lowers the next payment. Refunds a person always decides.",
    ),
    "changed": (
        "What becomes of a bill that m3ter changes after it was charged?",
        "Held: a person compares. Settled: the difference is charged or carried, after the same review as any bill.",
    ),
    "late": (
        "What becomes of a bill that is approved in the half hour before the renewal?",
        "Paddle takes no changes then. It is charged after that: with the renewal that follows, or at once.",
    ),
    "far": (
        "And of one whose renewal is too far away?",
        "Held, or charged at once. How far is too far, the next question says.",
    ),
    "max_wait_days": (
        "How far away may the renewal be, in days?",
        "A bill whose renewal is further away is held, so that nobody waits a year to be charged.",
    ),
    "ending": (
        "And when the subscription is about to be cancelled or paused?",
        "A charge for its renewal would be forgiven. Held, or charged at once, for which m3ter makes a bill to date.",
    ),
    "tax_mode": (
        "Do the amounts of m3ter include tax?",
        "Added: Paddle puts it on top. Included: Paddle takes it out; you receive less. Product rules may differ.",
    ),
    "tax_category": (
        "Which Paddle tax category do charges have?",
        "Decides the tax rate. It must be enabled for your Paddle account, or Paddle refuses every charge.",
    ),
    "open_periods": (
        "Charge bills whose period has not ended yet?",
        "Yes: later usage changes a bill already charged, which then needs a person. No: they are held.",
    ),
    "resend_when_absent": (
        "Send a charge again by itself when the whole look-up schedule found no trace of it?",
        "Yes: if Paddle's answer and its history were both wrong, a customer pays twice. No: a person decides.",
    ),
    "lock_after_days": (
        "How many days after the charge is the bill locked in m3ter?",
        "Once locked, m3ter does not change it any more. 0: at once.",
    ),
    "item_name": (
        "What does the customer read on the invoice?",
        "Up to 50 characters. {line}, {product}, {period}, {units} and {unit} are filled in.",
    ),
    "item_description": ("And on the second line?", "The same names are filled in. The push id is added to it."),
}


class PolicyForm(ReasonedModelForm):
    """The questions, with texts that name nothing unknown."""

    class Meta:
        model = PushPolicy
        fields = tuple(QUESTIONS)
        labels = {name: question for name, (question, _) in QUESTIONS.items()}
        help_texts = {name: consequence for name, (_, consequence) in QUESTIONS.items()}
        widgets = {  # Django reads it from here
            "allowed_accounts": forms.Textarea({"rows": 3, "class": "c-input"}),
            "excluded_accounts": forms.Textarea({"rows": 3, "class": "c-input"}),
            "item_name": PreviewedText({"class": "c-input"}),
            "item_description": PreviewedText({"class": "c-input"}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "link" in self.fields:
            self.fields["link"].required = True

    def clean_item_name(self) -> str:
        """Refuse unknown names."""
        return _known_names(self.cleaned_data["item_name"])

    def clean_item_description(self) -> str:
        """Refuse unknown names."""
        return _known_names(self.cleaned_data["item_description"])

    def clean(self) -> dict[str, Any]:
        """An amount is needed where there is one to be above, and a list of accounts names each in one place."""
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("review") == PushPolicy.Review.ABOVE and cleaned.get("review_above") is None:
            self.add_error("review_above", "Say above which amount Finance looks at bills.")
        both = accounts_of(cleaned.get("allowed_accounts", "")) & accounts_of(cleaned.get("excluded_accounts", ""))
        if both:
            self.add_error("excluded_accounts", f"Named in both lists: {', '.join(sorted(both)[:MOST_NAMED])}.")
        return cleaned

    def clean_tax_category(self) -> str:
        """Refuse what cannot be a category."""
        return known_category(self.cleaned_data["tax_category"])


def known_category(text: str) -> str:
    """Refuse what cannot be a tax category."""
    category = text.strip()
    if not category.replace("-", "").isalnum() or not category.islower():
        raise forms.ValidationError("A tax category is a word in small letters, such as saas or standard.")
    return category


def _known_names(text: str) -> str:
    left = composing.PLACEHOLDER.sub("", text)
    if "{" in left or "}" in left:
        names = ", ".join(f"{{{name}}}" for name in composing.NAMES)
        raise forms.ValidationError(f"Only these are filled in: {names}.")
    return text


def unknown_accounts(policy: PushPolicy) -> list[str]:
    """The codes and ids that a policy names, and no account link and no bill has: mistyped, or not there yet."""
    named = policy.allowed | policy.excluded
    known: set[str] = set()
    for rows in (AccountLink.objects, PushedBill.objects):
        for column in ("m3ter_account_code", "m3ter_account_id"):
            known |= set(rows.filter(**{f"{column}__in": named}).values_list(column, flat=True))
    return sorted(named - known)


def drop_override(policy_id: int, *, by: str, reason: str) -> None:
    """Let a link follow everybody's policy again."""
    with transaction.atomic():
        policy = PushPolicy.objects.select_for_update(of=("self",)).filter(pk=policy_id, link__isnull=False).first()
        if policy is None:
            raise NotPossible("Everybody's policy cannot be dropped.")
        policy._change_reason = reason  # type: ignore[attr-defined]  # read by simple-history
        policy.delete()


@admin.register(PushPolicy)
class PushPolicyAdmin(ReasonedAdmin):
    """One policy for everybody, and rows that override it for one link."""

    form = PolicyForm
    list_display = (
        "__str__",
        "review",
        "mode",
        "classic_mode",
        "tax_mode",
        "open_periods",
        "resend_when_absent",
        "max_wait_days",
    )
    list_select_related = ("link",)
    search_fields = ("link__paddle_subscription_id__exact", "link__m3ter_account_code__exact")
    raw_id_fields = ("link",)
    ordering = ("-link",)
    decisions = (
        Decision(
            name="drop",
            label="Drop this override",
            permission="billing_bridge.delete_pushpolicy",
            effect="This link's bills follow everybody's policy again. Bills already sent are not touched.",
            done="dropped",
            decide=drop_override,
            offered=lambda policy: policy.link_id is not None,
        ),
    )

    def get_urls(self) -> list[URLPattern]:
        """Add what a text comes to, for its preview."""
        reads = self.admin_site.admin_view(reads_view)
        return [path("reads/", reads, name="billing_bridge_pushpolicy_reads"), *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> Any:
        """Put everybody's policy first."""
        return super().get_queryset(request).select_related("link")

    def get_fields(self, request: HttpRequest, obj: PushPolicy | None = None) -> tuple[str, ...]:
        """Leave out the link of everybody's policy, and the reason where nothing can be changed."""
        names = tuple(name for name in QUESTIONS if name != "link" or obj is None or obj.link_id is not None)
        may = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        return (*names, "reason") if may else names

    def get_readonly_fields(self, request: HttpRequest, obj: PushPolicy | None = None) -> tuple[str, ...]:
        """An override stays with its link."""
        return ("link",) if obj is not None and obj.link_id is not None else ()

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Begin with everybody's answers, for the account that a link names, if it names one."""
        everybodys = (
            PushPolicy.objects.filter(link=None).values(*(name for name in QUESTIONS if name != "link")).first()
        )
        link = request.GET.get("link", "")
        return {**(everybodys or {}), **({"link": link} if link.isdecimal() else {})}

    def save_model(self, request: HttpRequest, obj: PushPolicy, form: Any, change: bool) -> None:
        """Save, and warn about accounts that nobody knows here: they may be mistyped, or yet to come."""
        super().save_model(request, obj, form, change)
        if unknown := unknown_accounts(obj):
            names = ", ".join(f'"{name}"' for name in unknown[:MOST_NAMED])
            more = f" and {len(unknown) - MOST_NAMED} more" if len(unknown) > MOST_NAMED else ""
            words = (
                f"Saved, but no account here has the code or id {names}{more}. Look whether each stands as in m3ter."
            )
            self.message_user(request, words, messages.WARNING)

    def after_decision(self, request: HttpRequest, row: PushPolicy, decision: Decision) -> HttpResponse | None:
        """Go to the list: the row is gone."""
        return HttpResponseRedirect(showing.list_of(PushPolicy))

    def story(self, request: HttpRequest, row: PushPolicy) -> Story:
        """Say for whom this policy speaks, and what a change does."""
        held = PushedBill.objects.filter(state=PushedBill.State.HELD, reason=PushedBill.Reason.REVIEW)
        if row.link is not None:
            count = held.filter(link=row.link).count()
            whose = f"An override for {row.link.name or row.link.paddle_subscription_id} alone."
        else:
            count = held.count()
            whose = "Everybody's policy, except for account links with an override of their own."
        waiting = f"{count} bill{'s' if count != 1 else ''} of theirs wait{'s' if count == 1 else ''} for review now."
        return Story(
            "calm", whose, waiting, "A change holds for what is decided from now on; every change is in History."
        )

    def links(self, request: HttpRequest, row: PushPolicy) -> Sequence[Link]:
        """Link to the account an override speaks for, from everybody's policy to who is mailed."""
        if row.link is not None:
            return (Link("The account", showing.page_of(row.link)),)
        return (Link("Who is mailed about what", showing.list_of(MailRule)),)

    def panels(self, request: HttpRequest, row: PushPolicy) -> Sequence[Panel | Text]:
        """Show beside everybody's policy what is decided with it, and in another place, with the way there."""
        if row.link is not None:
            return ()
        ours = installation.current()
        days = f"{ours.lead_days} day{'' if ours.lead_days == 1 else 's'}"
        question = "How long before the renewal does a bill period end?"
        why = "Long enough for a bill to be made, approved and reviewed before the renewal that carries it."
        change = Link("Change it on the page of the installation", showing.page_of(ours))
        columns = ("Question", "Answer", "Why")
        return (Panel("Decided for the whole installation", columns, [(question, days, why)], empty="", more=change),)


class ProductRuleForm(ReasonedModelForm):
    """Which Paddle product an accounting product is."""

    class Meta:
        model = ProductRule
        fields = ("accounting_product", "paddle_product_id", "tax_category", "tax_mode")

    def clean_tax_category(self) -> str:
        """Refuse what cannot be a category."""
        return known_category(self.cleaned_data["tax_category"])


@admin.register(ProductRule)
class ProductRuleAdmin(ReasonedAdmin):
    """What Paddle is told that a charge is for, by m3ter's accounting product."""

    form = ProductRuleForm
    list_display = ("accounting_product", "paddle_product_id", "tax_category", "tax_mode")
    search_fields = ("accounting_product",)
    ordering = ("accounting_product",)

    def story(self, request: HttpRequest, row: ProductRule) -> Story:
        """Say what the rule does."""
        where = f"Paddle's product {row.paddle_product_id}" if row.paddle_product_id else "a product of that name"
        tax = f" {row.get_tax_mode_display()}." if row.tax_mode else ""
        return Story(
            "calm", f'Lines booked under "{row.accounting_product}" are charged as {where}, {row.tax_category}.{tax}'
        )
