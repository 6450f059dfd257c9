"""A key of the tests' own, and alerts signed with it."""

from collections.abc import Mapping
from urllib.parse import urlencode

from integration_project.vendors.paddle_classic import signature
from integration_project.vendors.paddle_classic.simulator.alerts import public_pem, sample_key

PUBLIC_KEY = public_pem(sample_key())


def signed(fields: Mapping[str, str]) -> dict[str, str]:
    """The fields with a signature of the tests' key."""
    return signature.sign(fields, sample_key())


def body_of(fields: Mapping[str, str]) -> bytes:
    """The fields as a form."""
    return urlencode(fields).encode()
