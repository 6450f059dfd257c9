"""The four roles, each with a browser of its own, and a console full of rows."""

import datetime as dt
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from billing_bridge.models import PushPolicy
from integration_project import roles
from paddle_sync.models import AccountLink
from tests.builders import make_link
from tests.console.rows import MOMENT, Everything, make_everything

Browser = Callable[[str], Client]


@pytest.fixture
def granted(db: None) -> None:
    """What migrations give a database; a test on real transactions before this one may have emptied it."""
    roles.grant(Group, Permission)
    PushPolicy.objects.get_or_create(link=None)


@pytest.fixture
def people(granted: None) -> dict[str, User]:
    """One member of each role, one person without any, and a superuser."""
    found = {}
    for role in roles.ROLES:
        user = User.objects.create_user(role.lower(), is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        found[role] = user
    found["nobody"] = User.objects.create_user("nobody", is_staff=True)
    found["superuser"] = User.objects.create_superuser("superuser")
    return found


@pytest.fixture
def operator(people: dict[str, User]) -> User:
    """A member of the role Operator."""
    return people["Operator"]


@pytest.fixture
def finance(people: dict[str, User]) -> User:
    """A member of the role Finance."""
    return people["Finance"]


@pytest.fixture
def auditor(people: dict[str, User]) -> User:
    """A member of the role Auditor."""
    return people["Auditor"]


@pytest.fixture
def administrator(people: dict[str, User]) -> User:
    """A member of the role Administrator."""
    return people["Administrator"]


@pytest.fixture
def browser(people: dict[str, User]) -> Browser:
    """A logged-in browser of whoever is named."""

    def of(role: str) -> Client:
        client = Client()
        client.force_login(people[role])
        return client

    return of


@pytest.fixture
def everything(granted: None) -> Everything:
    """At least one row in every table the console shows, with markup in every text a vendor could have written."""
    return make_everything()


@pytest.fixture
def link(granted: None) -> AccountLink:
    """An account linked before everything else happened."""
    link = make_link(created_at=MOMENT - dt.timedelta(days=90))
    AccountLink.log.filter(id=link.pk).update(history_date=MOMENT - dt.timedelta(days=90))
    return link
