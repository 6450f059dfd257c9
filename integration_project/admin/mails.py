"""The console's pages of mails: who is mailed about what, and what was mailed."""

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from integration_project import showing
from integration_project.configuration import SMTP, is_mail_address
from integration_project.ledger_admin import Decision, LedgerAdmin, OptionalReasonForm
from integration_project.mailing import outbox, sending, topics
from integration_project.mailing.topics import Topic
from integration_project.models import Mail, MailRule
from integration_project.reasoned_admin import ReasonedAdmin, ReasonedModelForm
from integration_project.showing import Link, Panel, Story, Text, Tone

MOST_ADDRESSES = 10
LAST_MAILS = 10
MAY_CHANGE = "integration_project.change_mailrule"
FROM_SEVERITY = tuple((each.value, each.label) for each in topics.SEVERITIES)
OFF = "Mail is off: EMAIL_URL is not set."
TONES: dict[str, Tone] = {
    Mail.State.WAITING: "wait",
    Mail.State.SENDING: "wait",
    Mail.State.SENT: "good",
    Mail.State.DROPPED: "calm",
    Mail.State.FAILED: "bad",
}


def may_decide_about(user: Any, about: Iterable[str]) -> bool:
    """Say whether somebody may decide who is mailed about these topics."""
    return all(user.has_perm(name) for name in topics.needed_for(about))


class MailRuleForm(ReasonedModelForm):
    """Whom to mail about what."""

    allowed: tuple[str, ...] = ()
    """The topics that whoever fills it in may decide about; none unless the page says otherwise."""

    addresses = forms.CharField(
        label="Whom to mail",
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3, "class": "c-input"}),
        help_text=f"One address a line, at most {MOST_ADDRESSES}. Each gets a mail of its own.",
    )
    topics = forms.MultipleChoiceField(
        label="About what",
        choices=Topic.choices,
        widget=forms.CheckboxSelectMultiple,
        help_text="Finance decides about charging and bills, Operators about the others.",
    )
    severity = forms.ChoiceField(
        label="From which severity on",
        choices=FROM_SEVERITY,
        widget=forms.Select(attrs={"class": "c-input"}),
        help_text="And about all that is worse.",
    )
    active = forms.BooleanField(
        label="Mail by this rule",
        required=False,
        initial=True,
        widget=forms.CheckboxInput(attrs={"class": "c-input"}),
        help_text="What opens while it is off is not mailed later.",
    )

    class Meta:
        model = MailRule
        fields = ("addresses", "topics", "severity", "active")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "topics" in self.fields:
            self.fields["topics"].choices = [each for each in Topic.choices if each[0] in self.allowed]  # type: ignore[attr-defined]

    def clean_addresses(self) -> str:
        """Take what can be an address, each once, and nothing else."""
        given = self.cleaned_data["addresses"].replace(",", " ").replace(";", " ").split()
        wrong = [address for address in given if not is_mail_address(address)]
        if wrong:
            raise forms.ValidationError(f"This is not an e-mail address: {wrong[0]}")
        once: dict[str, str] = {}
        for address in given:
            once.setdefault(address.lower(), address)
        if len(once) > MOST_ADDRESSES:
            raise forms.ValidationError(f"At most {MOST_ADDRESSES}; use a mailing list for more.")
        return "\n".join(once.values())


@admin.register(MailRule)
class MailRuleAdmin(ReasonedAdmin):
    """Whom to mail about what: one mail when findings of a kind open, one when they close."""

    form = MailRuleForm
    list_display = ("about_what", "whom", "severity", "active")
    list_filter = ("active", "severity")
    ordering = ("pk",)
    nothing_yet = "Nobody is mailed about anything. Say who should know when something opens."
    decisions = (
        Decision(
            name="test",
            label="Send a test mail",
            permission=MAY_CHANGE,
            effect="A mail that says that it is a test goes to every address of the rule, also while the rule is off."
            " Whether it was sent is shown on the rule's page.",
            done="given a test mail, which goes out in a moment",
            decide=sending.ask_for_test,
        ),
    )

    @admin.display(description="About")
    def about_what(self, rule: MailRule) -> str:
        """Name the topics."""
        return topics.in_words(rule.topics)

    @admin.display(description="Who is mailed")
    def whom(self, rule: MailRule) -> str:
        """List the addresses."""
        return ", ".join(rule.recipients)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let those add who may decide about a topic."""
        return super().has_add_permission(request) and bool(_decided_by(request.user))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let those change a rule who may decide about all that it is about."""
        return super().has_change_permission(request, obj) and (
            obj is None or may_decide_about(request.user, obj.topics)
        )

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Offer the topics that this person may decide about; the form class is made for this request alone."""
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        form.allowed = _decided_by(request.user)
        return form

    def get_fields(self, request: HttpRequest, obj: MailRule | None = None) -> tuple[str, ...]:
        """Ask; or where nothing can be changed, show."""
        may = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        return ("addresses", "topics" if may else "about_what", "severity", "active", *(("reason",) if may else ()))

    def save_model(self, request: HttpRequest, obj: MailRule, form: Any, change: bool) -> None:
        """Save; what is open already is no news to what the rule begins to ask for."""
        with outbox.changing(obj):
            super().save_model(request, obj, form, change)

    def story(self, request: HttpRequest, row: MailRule) -> Story:
        """Say whether anything is mailed by it."""
        if not settings.MAIL_IS_ON:
            return Story("bad", OFF, "Nobody is mailed about anything.", "Set EMAIL_URL and restart.")
        if not row.active:
            return Story("calm", "The rule is off.", "Nothing is mailed by it.")
        return Story(
            "calm",
            "One mail goes out when findings of a kind open, and one when they close.",
            "What was open before the rule asked for it is not mailed. What opens and closes again before a mail is"
            " sent gives none.",
            "" if settings.SITE_URL else "Mails have no links: SITE_URL is not set.",
        )

    def panels(self, request: HttpRequest, row: MailRule) -> Sequence[Panel | Text]:
        """Show the last mails."""
        mails = row.mails.order_by("-pk")[:LAST_MAILS]
        table = [
            (showing.row_link(mail, in_a_line(mail)), state_of(mail), showing.at(mail.sent_at), mail.last_error or "-")
            for mail in mails
        ]
        more = Link("All mails of this rule", showing.list_of(Mail, urlencode({"rule__id__exact": row.pk})))
        columns = ("Mail", "State", "Sent", "What went wrong")
        return (Panel("The last mails", columns, table, empty="None yet.", more=more),)

    def list_panels(self, request: HttpRequest, rows: "QuerySet[Any]") -> Sequence[Panel | Text]:
        """Say where mails go."""
        return (Text("Where mails go", where_mails_go()),)


@admin.register(Mail)
class MailAdmin(LedgerAdmin):
    """What was mailed, to whom, and what could not be."""

    list_display = ("in_a_line", "state_in_words", "rule", "findings", "created", "sent", "what_went_wrong")
    list_filter = ("state", "about")
    list_select_related = ("rule",)
    search_fields = ("kind__exact",)
    search_help_text = "A kind of finding."
    ordering = ("-id",)
    fields = (("rule", "state"), ("findings", "attempts"), ("created", "written", "sent", "due"))
    readonly_fields = ("created", "written", "sent", "due")
    nothing_yet = "Nothing was mailed. Mails are asked for under Who is mailed about what."
    decisions = (
        Decision(
            name="again",
            label="Send again",
            permission=MAY_CHANGE,
            effect="The mail goes out to those who were not reached, about what still holds, and is tried for about a"
            " day.",
            done="on its way again",
            decide=sending.send_again,
            offered=lambda mail: mail.state == Mail.State.FAILED,
            form=OptionalReasonForm,
            bulk=True,
            strong=True,
        ),
    )

    created = showing.moment("created_at", description="Asked for")
    written = showing.moment("written_at", description="Written")
    sent = showing.moment("sent_at", description="Sent")
    due = showing.moment("due_at", description="Next attempt")

    @admin.display(description="About", ordering="kind")
    def in_a_line(self, mail: Mail) -> str:
        """Say what it is about."""
        return in_a_line(mail)

    @admin.display(description="State", ordering="state")
    def state_in_words(self, mail: Mail) -> SafeString:
        """Show its state."""
        return state_of(mail)

    @admin.display(description="What went wrong")
    def what_went_wrong(self, mail: Mail) -> SafeString:
        """Show the mail server's words."""
        return showing.line(mail.last_error)

    def story(self, request: HttpRequest, row: Mail) -> Story:
        """Say what became of it."""
        tone = TONES.get(row.state, "calm")
        next_step = "Correct what it names, then send the mail again." if row.state == Mail.State.FAILED else ""
        return Story(tone, f"{in_a_line(row)}: {row.get_state_display().lower()}.", row.last_error, next_step)

    def panels(self, request: HttpRequest, row: Mail) -> Sequence[Panel | Text]:
        """Show the mail itself, and for whom the mail server took it."""
        table = [(address, "yes" if address in row.reached else "no") for address in row.recipients]
        people = Panel("To whom", ("Address", "Taken by the mail server"), table, empty="It was not written yet.")
        return (Text(row.subject, row.body), people) if row.body else (people,)


def in_a_line(mail: Mail) -> str:
    """Say what a mail is about."""
    if mail.about == Mail.About.TEST:
        return "Test mail"
    return f"{mail.kind}: {mail.about}"


def state_of(mail: Mail) -> SafeString:
    """Show a mail's state in words and colour."""
    return showing.label(str(mail.get_state_display()), TONES.get(mail.state, "calm"))


def where_mails_go() -> str:
    """Say where mails go, and from whom."""
    if not settings.MAIL_IS_ON:
        return f"{OFF} Nobody is mailed about anything."
    if settings.EMAIL_BACKEND == SMTP:
        return f"To the mail server {settings.EMAIL_HOST}, from {settings.DEFAULT_FROM_EMAIL}."
    return f"Nowhere outside this machine ({settings.EMAIL_BACKEND.split('.')[-2]}): no mail server is set."


def _decided_by(user: Any) -> tuple[str, ...]:
    """List the topics that somebody may decide about."""
    return tuple(topic.value for topic in Topic if may_decide_about(user, (topic,)))
