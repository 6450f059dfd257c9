"""The console's pages of people: users for Administrators, the four roles as they are, and what people did."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth import forms as auth_forms
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group
from django.http import HttpRequest
from django.utils.safestring import SafeString

from integration_project import showing
from integration_project.ledger_admin import LedgerAdmin, Look
from integration_project.reasoned_admin import WhyForm, change_in_history
from integration_project.roles import ROLES
from integration_project.showing import Panel, Text

if TYPE_CHECKING:
    UserAdminOfTheLook = UserAdmin[Any]
    UserChangeForm = auth_forms.UserChangeForm[Any]
    UserCreationForm = auth_forms.AdminUserCreationForm[Any]
elif "unfold" in settings.INSTALLED_APPS:
    from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

    class UserAdminOfTheLook(UserAdmin, Look):
        """Django's pages of users, with fields that unfold draws."""

        change_password_form = AdminPasswordChangeForm
else:
    UserAdminOfTheLook = UserAdmin
    UserChangeForm = auth_forms.UserChangeForm
    UserCreationForm = auth_forms.AdminUserCreationForm

User = get_user_model()
PARTS = (
    (None, {"fields": ("username", "password")}),
    ("Who", {"fields": ("first_name", "last_name", "email")}),
    ("May log in, and as what", {"fields": ("is_active", "is_staff", "groups")}),
    ("Dates", {"fields": ("last_login", "date_joined")}),
)
WHY = ("Reason", {"fields": ("reason",)})
ALL_POWERFUL = ("Superuser", {"fields": ("is_superuser",)})


class ReasonedUserChangeForm(UserChangeForm, WhyForm):
    """A change of a user, with its reason."""


class ReasonedUserCreationForm(UserCreationForm, WhyForm):
    """A new user, with the reason."""


class ConsoleUserAdmin(UserAdminOfTheLook):
    """Users and their roles. Only a superuser makes or changes a superuser; nobody gives single permissions."""

    form = ReasonedUserChangeForm
    add_form = ReasonedUserCreationForm
    list_display = ("username", "first_name", "last_name", "is_active", "is_staff", "roles", "last_login")
    list_filter = ("is_active", "groups")
    readonly_fields = ("last_login", "date_joined")
    add_fieldsets = (
        (None, {"classes": ("wide",), "fields": ("username", "usable_password", "password1", "password2")}),
        ("May log in, and as what", {"fields": ("is_staff", "groups", "reason")}),
    )

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        """Put the changed fields and the reason into History; a new password has a form of its own, without one."""
        return change_in_history(form, add=add) if "reason" in form.cleaned_data else "Changed the password."

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Whoever is added here is meant to log in here."""
        return {"is_staff": True}

    @admin.display(description="Roles")
    def roles(self, user: Any) -> str:
        """Name the roles."""
        return ", ".join(group.name for group in user.groups.all()) or "none"

    def get_queryset(self, request: HttpRequest) -> Any:
        """Load the roles with the users."""
        return super().get_queryset(request).prefetch_related("groups")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show the superuser's mark to superusers alone."""
        if obj is None:
            return self.add_fieldsets
        parts = (*PARTS, ALL_POWERFUL) if request.user.is_superuser else PARTS
        return (*parts, WHY) if self.has_change_permission(request, obj) else parts

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Keep superusers out of everybody else's reach."""
        if obj is not None and obj.is_superuser and not request.user.is_superuser:
            return False
        return bool(super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody is deleted: what they decided keeps their name. Take away the mark that they may log in."""
        return False


class ConsoleGroupAdmin(LedgerAdmin):
    """The four roles, fixed by migrations."""

    list_display = ("name", "people")
    fields = ("name",)
    ordering = ("name",)

    @admin.display(description="People")
    def people(self, group: Group) -> str:
        """Name who has the role."""
        return ", ".join(user.get_username() for user in group.user_set.all()) or "nobody"

    def get_queryset(self, request: HttpRequest) -> Any:
        """Load people with the roles."""
        return super().get_queryset(request).prefetch_related("user_set")

    def panels(self, request: HttpRequest, row: Group) -> Sequence[Panel | Text]:
        """Show who may what, and who has the role."""
        rows = [
            (name,)
            for name in row.permissions.order_by("content_type__app_label", "name").values_list("name", flat=True)
        ]
        who = [(user.get_username(), user.get_full_name() or "-") for user in row.user_set.order_by("username")]
        note = "A role of this application; it is changed by new versions only." if row.name in ROLES else ""
        return (
            Panel("People", ("User", "Name"), who, empty="Nobody has this role."),
            Panel("What they may", ("Permission",), rows, empty="Nothing.", note=note),
        )


@admin.register(LogEntry)
class LogEntryAdmin(LedgerAdmin):
    """What people did in the console, with their reasons."""

    list_display = ("when", "user", "content_type", "object_repr", "what")
    list_filter = ("content_type",)
    list_select_related = ("user", "content_type")
    search_fields = ("object_id__exact", "user__username__exact")
    search_help_text = "A user name."
    ordering = ("-id",)
    fields = ("when", "user", "content_type", "object_repr", "what")
    readonly_fields = ("when", "what")
    nothing_yet = "Nobody has changed anything yet."

    @admin.display(description="When", ordering="action_time")
    def when(self, entry: LogEntry) -> SafeString:
        """Show when."""
        return showing.at(entry.action_time)

    @admin.display(description="What and why")
    def what(self, entry: LogEntry) -> str:
        """Show what was done and the reason."""
        return entry.get_change_message() or str(entry)


for model, model_admin in ((User, ConsoleUserAdmin), (Group, ConsoleGroupAdmin)):
    if admin.site.is_registered(model):
        admin.site.unregister(model)
    admin.site.register(model, model_admin)
