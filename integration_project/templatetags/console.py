"""What every page of the console says whatever it shows: which environment this is; and the home page's numbers."""

from typing import Any

from django import template
from django.conf import settings

from integration_project.pages import home

register = template.Library()

LIVE = "Real customers are charged. Paddle live, {organisation}."
SANDBOX = "No real money moves. Paddle sandbox, {organisation}."
DEMO = "A demo: Paddle and m3ter are both simulated on this machine, no real money moves."


@register.inclusion_tag("admin/environment_strip.html")
def environment_strip() -> dict[str, str]:
    """Say in words and colour which Paddle environment and which m3ter organisation this deployment serves."""
    named = settings.M3TER_ORG_ID
    organisation = f"m3ter organisation {named}" if named else "no m3ter organisation"
    if settings.PADDLE_ENVIRONMENT == "live":
        return {"name": "LIVE", "css": "c-live", "words": LIVE.format(organisation=organisation)}
    words = DEMO if settings.MODE == "demo" else SANDBOX.format(organisation=organisation)
    return {"name": "SANDBOX", "css": "c-sandbox", "words": words}


@register.inclusion_tag("admin/home.html", takes_context=True)
def home_cards(context: template.RequestContext) -> dict[str, Any]:
    """Give the cards of the home page that this person may see."""
    return {"sections": home.sections(context["request"].user)}
