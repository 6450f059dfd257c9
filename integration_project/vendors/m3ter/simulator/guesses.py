"""Everything this simulator assumes about m3ter that no public source states. Nowhere else does it guess.

Numbers in brackets point at the open questions of the vendor notes. What can be switched is a field of `Guesses`, so
that a rehearsal can run under another assumption: `M3terSimulator(guesses=Guesses(locking_twice_is_refused=False))`.
What is built in is a sentence in `BUILT_IN`; all of it shows in the control interface's state.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Guesses:
    """The assumptions in force."""

    # Refusals.
    version_mismatch_status: int = 409  # [6]
    duplicate_code_status: int = 400  # [6]
    overlapping_plan_status: int = 400  # [6]
    duplicate_adjustment_status: int = 400  # [6] a second count of one counter on one day
    billed_plan_status: int = 400  # deleting an account plan that a bill has lines of
    expired_token_status: int = 403  # [7] documented as 403, mapped as 401 by the SDKs
    bad_credentials_status: int = 401  # the OAuth answer; m3ter's own table has no 401
    duplicate_mapping_status: int | None = 400  # the same mapping twice; None accepts it
    refuse_unknown_fields: bool = True
    refuse_undeclared_custom_fields: bool = False

    # The firewall: that it reads SQL and markup out of any field is documented, its patterns (`access.py`) are not.
    firewall_reads_text: bool = True

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


BUILT_IN = (
    "A version sent on creation is refused; null in a request counts as absent.",
    "Null fields are left out of every answer, which is documented for bill jobs only; not of events and tokens.",
    "An account plan, and an account, is deleted only while nothing hangs on it: lines of bills, plans, counts.",
    "End-dating an account reaches the plans begun by that moment and still open then; what ended earlier stays.",
    "Counts are filtered by their own day, under the names dateStart and endDateStart alike; the end is not included.",
    "Account plans listed by date are all that began by that date; listed without any filter, the active ones.",
    "A first bill, dated billEpoch, covers everything since the plan began.",
    "After a change of billEpoch the next bill begins where the last ended, and falls on the new cycle's first date.",
    "A bill job covers, for each cycle, the periods ended by its date that have no bill, and the newest that has one.",
    "With lastDateInBillingPeriod it also bills the running period up to that day, and the next bill begins there.",
    "Running it again updates that bill and makes it PENDING even when every amount stays as it was [17].",
    "An account whose conversion rate is missing gets no bill; the job still ends as COMPLETE.",
    "Approving an approved bill changes nothing. Locking is a billing.bill.updated event [5].",
    "A charge in advance is for the next period, and on the first bill for the current one too.",
    "A minimum billed in advance gives back minimum less usage where usage stayed below it.",
    "A plan group's own minimum counts the usage of its plans only.",
    "Negative usage is priced at the lowest band without its fixed price.",
    "A measurement's account code is nearly another when they differ only in case, spaces, hyphens and underscores.",
    "Text fields may be absent from a measurement; the columns of usage queries are account, ts and field codes [20].",
    "A charge is on one bill: the first new one dated on its day or later, or the next new one where it names no day.",
    "A bill calculated again keeps its charges, and takes those that wait for its day or for an earlier one.",
    "A charge's line has its description, else its name, and comes last; while the account gets no bill it waits.",
    "A charge that was billed is not changed or deleted; when its bill is deleted it waits for the next one.",
    "A file is put once, with its headers and length, else 403; with a bearer token 400. Its answer has no body.",
    "A file that is no JSON array fails whole; rows that a request would be refused for only count as failed.",
    "A webhook carries the event itself and the rule's code [2]; its signature is assumed too [1].",
    "Calculations compare with == and !=, know AND, OR, NOT, and read absent fields as null [4].",
    "A bill in an event has all fields but its lines [4].",
    "Integrations are enabled and authorised when created.",
)
NOT_SIMULATED = (
    "contracts, prepayments, balances and their charges, what counters cost, memo lines, compound aggregations, SQL; "
    "statements; bill previews; parent and child billing; consolidated bills (refused in the settings); "
    "m3ter's own integration with Paddle beyond its configuration"
)
