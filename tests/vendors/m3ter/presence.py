"""Every field that the reference lists for each m3ter entity, written down apart from the simulator.

m3ter leaves null fields out: a name that ends in `?` is there only when it has a value, every other one always. The
OpenAPI document says next to nothing about presence: by it alone `{}` would be an account.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Table = Mapping[str, Any]


def _names(names: str) -> dict[str, Any]:
    return dict.fromkeys(names.split())


COMMON = _names("id version dtCreated dtLastModified createdBy lastModifiedBy")
ADDRESS = _names("addressLine1? addressLine2? addressLine3? addressLine4? locality? region? postCode? country?")
CONVERSION = _names("from to multiplier")

TOKEN: Table = _names("access_token token_type expires_in scope")
ORGANIZATION_CONFIG: Table = {
    **COMMON,
    **_names(
        "timezone yearEpoch monthEpoch weekEpoch dayEpoch currency daysBeforeBillDue scheduledBillInterval? "
        "scheduledBillOffset? standingChargeBillInAdvance? commitmentFeeBillInAdvance? minimumSpendBillInAdvance? "
        "autoApproveBillsGracePeriod? autoApproveBillsGracePeriodUnit? externalInvoiceDate? suppressedEmptyBills? "
        "consolidateBills? billPrefix? sequenceStartNumber? autoGenerateStatementMode? defaultStatementDefinitionId? "
        "creditApplicationOrder? allowNegativeBalances? allowOverlappingPlans?"
    ),
    "currencyConversions?": [CONVERSION],
}
CUSTOM_FIELDS: Table = {
    **COMMON,
    **_names(
        "organization account accountPlan meter product planTemplate plan aggregation compoundAggregation contract"
    ),
}
ACCOUNT: Table = {
    **COMMON,
    **_names(
        "name code emailAddress customFields autoGenerateStatementMode parentAccountId? billEpoch? currency? "
        "purchaseOrderNumber? daysBeforeBillDue? creditApplicationOrder? statementDefinitionId?"
    ),
    "address?": ADDRESS,
}
END_DATED: Table = _names("statusMessage updatedEntities failedEntities")
ACCOUNT_PLAN: Table = {
    **COMMON,
    **_names(
        "accountId startDate customFields childBillingMode planId? planGroupId? productId? endDate? code? billEpoch?"
    ),
}
REPLACED: Table = {"originalAccountPlan": ACCOUNT_PLAN, "newAccountPlan": ACCOUNT_PLAN}
PRODUCT: Table = {**COMMON, **_names("name code customFields")}
CHARGES = _names(
    "minimumSpend? minimumSpendDescription? minimumSpendBillInAdvance? standingChargeDescription? "
    "standingChargeBillInAdvance?"
)
PLAN_TEMPLATE: Table = {
    **COMMON,
    **CHARGES,
    **_names(
        "productId name currency billFrequency standingCharge customFields billFrequencyInterval? "
        "standingChargeInterval? standingChargeOffset? code? ordinal?"
    ),
}
PLAN: Table = {
    **COMMON,
    **CHARGES,
    **_names(
        "planTemplateId productId name code bespoke customFields standingCharge? accountId? ordinal? "
        "standingChargeAccountingProductId? minimumSpendAccountingProductId?"
    ),
}
PLAN_GROUP: Table = {
    **COMMON,
    **CHARGES,
    **_names(
        "name currency customFields code? standingCharge? accountId? standingChargeAccountingProductId? "
        "minimumSpendAccountingProductId?"
    ),
}
PLAN_GROUP_LINK: Table = {**COMMON, **_names("planGroupId planId")}
BAND = _names("id lowerLimit fixedPrice unitPrice")
PRICING: Table = {
    **COMMON,
    **_names(
        "startDate type cumulative tiersSpanPlan aggregationType planId? planTemplateId? aggregationId? endDate? "
        "segment? minimumSpend? minimumSpendDescription? minimumSpendBillInAdvance? description? accountingProductId? "
        "code?"
    ),
    "pricingBands": [BAND],
    "overagePricingBands?": [BAND],
}
METER: Table = {
    **COMMON,
    **_names("name code customFields productId? groupId?"),
    "dataFields": [_names("category code name unit?")],
    "derivedFields": [_names("category code name calculation unit?")],
}
AGGREGATION: Table = {
    **COMMON,
    **_names(
        "name meterId targetField aggregation rounding quantityPerUnit unit customFields code? segmentedFields? "
        "segments? defaultValue? accountingProductId?"
    ),
}
CURRENCY: Table = {**COMMON, **_names("name archived code? maxDecimalPlaces? roundingMode?")}
COUNTER: Table = {**COMMON, **_names("name unit code? productId?")}
COUNTER_ADJUSTMENT: Table = {**COMMON, **_names("accountId counterId date value purchaseOrderNumber?")}
CHARGE: Table = {
    **COMMON,
    **_names(
        "name code accountId currency entityType lineItemType servicePeriodStartDate servicePeriodEndDate amount? "
        "units? unitPrice? billDate? description? accountingProductId? notes? billId?"
    ),
}
UPLOAD_URL: Table = _names("jobId url headers")
UPLOAD_JOB: Table = _names("id version fileName uploadDate contentLength status totalRows processedRows failedRows")
ACCEPTED: Table = _names("result")
DOWNLOAD: Table = _names("url")
USAGE: Table = _names("data hasMoreData")
BAND_USAGE = _names(
    "pricingBandId lowerLimit fixedPrice unitPrice unitSubtotal bandUnits bandQuantity bandSubtotal "
    "convertedBandSubtotal"
)
LINE = {
    **_names(
        "id sequenceNumber lineItemType description quantity units unit subtotal currency conversionRate "
        "convertedSubtotal averageUnitPrice servicePeriodStartDate servicePeriodEndDate segment group additional "
        "productId? productName? productCode? accountingProductId? accountingProductName? accountingProductCode? "
        "planId? planGroupId? pricingId? aggregationId? meterId? chargeId?"
    ),
}
BILL_LINE: Table = {**LINE, "usagePerPricingBand": [BAND_USAGE]}
LINE_ITEM: Table = {**COMMON, **LINE, **_names("billId jsonUsageGenerated"), "bandUsage": [BAND_USAGE]}
"""A line from the line-item calls; the document names its bands differently there."""
BILL_WITHOUT_LINES: Table = {
    **COMMON,
    **_names(
        "accountId accountCode status locked startDate endDate startDateTimeUTC endDateTimeUTC billDate dueDate "
        "externalInvoiceDate billingFrequency billFrequencyInterval timezone currency billJobId createdDate "
        "lastCalculatedDate jsonStatementGenerated csvStatementGenerated statementStale billTotal dtApproved? "
        "approvedBy? dtLocked? lockedBy? externalInvoiceReference? sequentialInvoiceNumber? purchaseOrderNumber?"
    ),
    "currencyConversions": [CONVERSION],
}
BILL: Table = {**BILL_WITHOUT_LINES, "lineItems": [BILL_LINE]}
APPROVAL: Table = _names("message")
BILL_CONFIG: Table = {**COMMON, **_names("billLockDate?")}
BILL_JOB: Table = {
    **COMMON,
    **_names(
        "status total pending type timezone accountIds? billingFrequency? billFrequencyInterval? billDate? "
        "lastDateInBillingPeriod? externalInvoiceDate? dueDate? targetCurrency? yearEpoch? monthEpoch? weekEpoch? "
        "dayEpoch? billIds?"
    ),
    "currencyConversions?": [CONVERSION],
}
EVENT: Table = {**_names("id eventName eventTime dtActioned"), "m3terEvent": {"eventData": _names("newDto oldDto?")}}
EVENT_TYPES: Table = _names("events")
NOTIFICATION: Table = {
    **COMMON,
    **_names("name description code eventName active alwaysFireEvent calculation?"),
}
EVALUATION: Table = _names("success errorMessage?")
WEBHOOK_DESTINATION: Table = {
    **COMMON,
    **_names("name description url active code?"),
    "credentials": _names("id version type destination apiKey secret"),
}
EXTERNAL_MAPPING: Table = {
    **COMMON,
    **_names("m3terEntity m3terId externalSystem externalTable externalId integrationConfigId?"),
}
MAPPING_CONFIGURATION: Table = {
    "m3terEntities": None,
    "externalSystems": [_names("name tables allowCustomExternalTables")],
}
INTEGRATION_CONFIG: Table = {
    **COMMON,
    **_names(
        "entityType destination configData authorized enabled triggerType entityId? destinationId? name? "
        "integrationCredentialsId?"
    ),
}
AVAILABLE: Table = _names("supportedEntities globalConfigurationOptions selectedConfigurations")
SYSTEM: Table = _names("identifier displayName validationSupported supportedAuthTypes")
INTEGRATION_RUN: Table = {
    **COMMON,
    **_names("entityType entityId status destination destinationId? dtStarted? dtCompleted? error?"),
}
RUN_LOG: Table = _names("Payload")
ERROR: Table = _names("message")


def missing(table: Table, entity: Any, where: str = "") -> Iterator[str]:
    """The fields of a table that an entity lacks."""
    if not isinstance(entity, dict):
        yield f"{where or 'body'} is no object"
        return
    for written, inner in table.items():
        name, path = written.removesuffix("?"), f"{where}.{written}".lstrip(".")
        if name not in entity:
            if not written.endswith("?"):
                yield path
        elif isinstance(inner, list):
            for element in entity[name]:
                yield from missing(inner[0], element, f"{path}[]")
        elif inner is not None:
            yield from missing(inner, entity[name], path)


def seen(table: Table, entity: Any, where: str = "") -> Iterator[str]:
    """The fields of a table that an entity has."""
    for written, inner in table.items():
        name, path = written.removesuffix("?"), f"{where}.{written}".lstrip(".")
        if name in entity:
            yield path
            for element in entity[name] if isinstance(inner, list) else [entity[name]]:
                if inner is not None:
                    yield from seen(inner[0] if isinstance(inner, list) else inner, element, path)


def listed(table: Table, where: str = "") -> Iterator[str]:
    """All fields of a table."""
    for written, inner in table.items():
        path = f"{where}.{written}".lstrip(".")
        yield path
        if inner is not None:
            yield from listed(inner[0] if isinstance(inner, list) else inner, path)
