"""Everything this simulator assumes about m3ter that no public source states. Nowhere else does it guess.

Numbers in brackets point at the open questions of the vendor notes. Each assumption is a field, so that a rehearsal
can run under another one: `M3terSimulator(guesses=replace(Guesses(), version_mismatch_status=400))`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Guesses:
    """The assumptions in force."""

    # Refusals.
    version_mismatch_status: int = 409  # [6]
    duplicate_code_status: int = 400  # [6]
    overlapping_plan_status: int = 400  # [6]
    expired_token_status: int = 403  # [7] documented as 403, mapped as 401 by the SDKs
    bad_credentials_status: int = 401  # the OAuth answer; m3ter's own table has no 401
    duplicate_mapping_status: int | None = 400  # the same mapping twice; None accepts it
    refuse_unknown_fields: bool = True
    refuse_undeclared_custom_fields: bool = False

    # Lists.
    default_page_size: int = 20  # [8] somewhere up to 100: small, so that nobody relies on it

    # Rating [22]: each line is rounded in the pricing currency, then converted and rounded in the bill's.
    band_begins_above_its_limit: bool = True  # the 10,000th unit belongs to the band that ends at 10,000
    line_for_no_usage: bool = False  # an account without usage gets no usage line
    minimum_spend_counts_standing_charge: bool = False
    numeric_fields_are_required: bool = True  # MissingField: a MEASURE, COST or INCOME field is absent

    # Bills.
    locking_twice_is_refused: bool = True  # "a locked bill cannot be updated"

    # Skeleton accounts [21].
    skeleton_email: str = "skeleton@m3ter.invalid"

    # Webhooks [1] [2] [3]: HMAC-SHA256 over "<timestamp>.<body>", hexadecimal, keyed with the destination's secret.
    webhook_key_header: str = "X-M3ter-Api-Key"
    webhook_time_header: str = "X-M3ter-Timestamp"
    webhook_signature_header: str = "X-M3ter-Signature"
    webhook_retry_seconds: tuple[int, ...] = (30, 120, 600, 1800, 7200, 21600)
    webhook_failures_until_disabled: int = 20  # [14]
