"""The control interface as a page of forms, so that a person can play the vendor's and the buyer's part by hand."""

import inspect
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{vendor} simulator</title><link rel="icon" href="data:,"><style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }}
fieldset {{ border: 1px solid #c9ced8; border-radius: .5rem; margin: 0 0 1rem; }}
legend {{ font-weight: 600; }} label {{ display: inline-block; margin: .25rem 1rem .25rem 0; }}
input {{ font: inherit; width: 18rem; max-width: 100%; }}
pre {{ background: #f3f4f7; padding: .75rem; overflow: auto; }}
button {{ font: inherit; padding: .25rem 1rem; }}
</style></head><body>
<h1>{vendor} simulator</h1>
<p>The business clock says <strong>{now}</strong>. This page is not part of the vendor's API: it plays the vendor,
the buyer and the calendar. Values are JSON or plain text; empty fields are left out.
<a href="state">Everything it remembers</a></p>
{forms}
<script>
for (const form of document.forms) form.addEventListener("submit", async (event) => {{
  event.preventDefault();
  const given = {{}};
  for (const field of form.querySelectorAll("input")) {{
    if (field.value.trim() === "") continue;
    try {{ given[field.name] = JSON.parse(field.value); }} catch {{ given[field.name] = field.value; }}
  }}
  const output = form.querySelector("pre");
  const answer = await fetch(form.action,
    {{method: "POST", headers: {{"Content-Type": "application/json"}}, body: JSON.stringify(given)}});
  output.hidden = false;
  output.textContent = JSON.stringify(await answer.json(), null, 2);
}});
</script></body></html>
"""
FORM = """<form action="{name}" method="post"><fieldset><legend>{name}</legend><p>{words}</p>
{fields}<p><button>Do it</button></p><pre hidden aria-live="polite"></pre></fieldset></form>
"""
FIELD = '<label>{name}<br><input name="{name}" placeholder="{default}"></label>'


def control_page(*, vendor: str, now: str, controls: Mapping[str, Callable[..., Any]]) -> bytes:
    """Draw a form for each control, with its own words and its arguments' defaults."""
    forms = "".join(form(name, method) for name, method in controls.items())
    return PAGE.format(vendor=escape(vendor), now=escape(now), forms=forms).encode()


def form(name: str, method: Callable[..., Any]) -> str:
    """Draw one control."""
    arguments = [
        argument for argument in inspect.signature(method).parameters.values() if argument.kind != argument.VAR_KEYWORD
    ]
    fields = "\n".join(FIELD.format(name=escape(each.name), default=escape(placeholder(each))) for each in arguments)
    words = " ".join((inspect.getdoc(method) or "").split())
    return FORM.format(name=escape(name), words=escape(words), fields=fields)


def placeholder(argument: inspect.Parameter) -> str:
    """Say what is taken when nothing is given."""
    return "required" if argument.default is argument.empty else str(argument.default)
