"""What every vendor's simulator stands on: a strict WSGI application with memory, a movable business clock and faults.

A simulator is one object. Tests mount it under the real client in the same process; `serve` gives it a loopback port
for the demo and for rehearsals. It never imports our clients, nor do they import it.
"""

from integration_project.vendors.simulation.application import Call, ControlError, Handler, Route, Simulator, control
from integration_project.vendors.simulation.clocks import BusinessClock, parse_time, real_now, rfc3339
from integration_project.vendors.simulation.faults import Fault, Faults
from integration_project.vendors.simulation.limits import RateLimit
from integration_project.vendors.simulation.outbox import Attempt, Delivery, Outbox, Post, post_on_loopback
from integration_project.vendors.simulation.serving import Served, serve
from integration_project.vendors.simulation.wire import Answer, AnswerLost, Refusal, Request, encode_json

__all__ = [
    "Answer",
    "AnswerLost",
    "Attempt",
    "BusinessClock",
    "Call",
    "ControlError",
    "Delivery",
    "Fault",
    "Faults",
    "Handler",
    "Outbox",
    "Post",
    "RateLimit",
    "Refusal",
    "Request",
    "Route",
    "Served",
    "Simulator",
    "control",
    "encode_json",
    "parse_time",
    "post_on_loopback",
    "real_now",
    "rfc3339",
    "serve",
]
