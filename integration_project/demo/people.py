"""The demo's people: one login for each role, with a random password that is printed once and stored only as a hash."""

import secrets
from dataclasses import dataclass

from django.contrib.auth.models import Group, User

ROLES = {"operator": "Operator", "finance": "Finance", "auditor": "Auditor", "admin": "Administrator"}


@dataclass(frozen=True)
class Login:
    """What to type at the console's door."""

    name: str
    role: str
    password: str


def let_in() -> tuple[Login, ...]:
    """Create a user for each role; the administrator also manages users."""
    logins = tuple(Login(name, role, secrets.token_urlsafe(12)) for name, role in ROLES.items())
    for login in logins:
        user = User.objects.create_user(login.name, password=login.password, is_staff=True)
        user.groups.add(Group.objects.get(name=login.role))
    return logins
