"""What the OpenAPI document says of requests and answers about usage; the checks themselves are in checking.py."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from paddle_sync.models import UsageUpload
from paddle_sync.usage.intake import Outcome
from paddle_sync.usage.items import LONGEST_UID, MARKS

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="Stands, with each one's index, for the uid of measurements that have none: send it again with the same"
    " measurements in the same order, and nothing is counted twice.",
)


class MeasurementSerializer(serializers.Serializer[Any]):
    """One measurement. Exactly one of the three addresses is given."""

    paddle_subscription_id = serializers.CharField(required=False, help_text="sub_...; taken even before it is linked.")
    paddle_customer_id = serializers.CharField(required=False, help_text="ctm_..., where it has one live link.")
    m3ter_account_code = serializers.CharField(required=False, help_text="The code of a linked m3ter account.")
    uid = serializers.CharField(
        required=False, max_length=LONGEST_UID, help_text="What makes it countable once, within its account."
    )
    meter = serializers.CharField(help_text="Code of the m3ter meter.")
    ts = serializers.DateTimeField(help_text="When it was, with a zone: it decides the billing period.")
    ets = serializers.DateTimeField(required=False, help_text="When it ended, for what has a duration.")
    values = serializers.DictField(
        child=serializers.JSONField(), help_text="The meter's fields by their codes: numbers, and texts."
    )
    marks = serializers.ListField(
        child=serializers.ChoiceField(choices=tuple(MARKS)),
        required=False,
        help_text="What is meant though it looks wrong: "
        + "; ".join(f"`{mark}`: {meaning}" for mark, meaning in MARKS.items())
        + ".",
    )


class MeasurementsSerializer(serializers.Serializer[Any]):
    """Between 1 and 1,000 measurements."""

    measurements = serializers.ListField(child=MeasurementSerializer(), min_length=1, max_length=1000)


class ResultSerializer(serializers.Serializer[Any]):
    """What became of one measurement."""

    index = serializers.IntegerField(help_text="Its place in the request, from 0.")
    status = serializers.ChoiceField(choices=[outcome.value for outcome in Outcome])
    code = serializers.CharField(required=False, help_text="Why not, for programs; it does not change.")
    field = serializers.CharField(required=False, help_text="Which field is wrong.")
    reason = serializers.CharField(required=False, help_text="What is wrong and what helps, for people.")
    held = serializers.BooleanField(required=False, help_text="It waits until its subscription has an account.")
    late = serializers.BooleanField(required=False, help_text="Its bill is approved: m3ter must calculate that again.")
    on_next_bill = serializers.BooleanField(
        required=False, help_text="Its bill is locked: a person decides what the next bill charges for it."
    )


class MeasurementsAnswer(serializers.Serializer[Any]):
    """What became of each measurement, and how many of each."""

    accepted = serializers.IntegerField()
    duplicate = serializers.IntegerField()
    conflict = serializers.IntegerField()
    refused = serializers.IntegerField()
    results = serializers.ListField(child=ResultSerializer())


class FileAnswer(serializers.Serializer[Any]):
    """How far a file is, and what became of its rows."""

    id = serializers.IntegerField(help_text="The file's number here.")
    name = serializers.CharField()
    state = serializers.ChoiceField(choices=UsageUpload.State.choices)
    is_over = serializers.BooleanField(help_text="Whether nothing more happens to it.")
    note = serializers.CharField(help_text="Where it stands, in words; empty while there is nothing to say.")
    rows = serializers.IntegerField(help_text="Rows checked so far.")
    accepted = serializers.IntegerField()
    duplicate = serializers.IntegerField()
    conflict = serializers.IntegerField()
    refused = serializers.IntegerField()
    held = serializers.IntegerField(help_text="Of the accepted: wait until their subscription has an account.")
    late = serializers.IntegerField(help_text="Of the accepted: their bill is approved.")
    on_next_bill = serializers.IntegerField(help_text="Of the accepted: a person puts them on the next bill.")
    reasons = serializers.DictField(child=serializers.IntegerField(), help_text="Why rows were refused, and how many.")
    dropped = serializers.IntegerField(help_text="Of the accepted: dropped by m3ter afterwards.")
    sent = serializers.IntegerField(help_text="Measurements that m3ter has taken.")
    waiting = serializers.IntegerField(help_text="Measurements still to be sent.")
    failed = serializers.IntegerField(help_text="Measurements that a person has to decide about.")
