"""What m3ter would answer to each of our writes, for a dry run that sends none of them."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from integration_project.errors import Conflict, NotFound, VendorRejected
from integration_project.vendors.reading import Json
from integration_project.vendors.rehearsal import NEW, Rehearsed, Stage, Table, Write

NAME = "m3ter"
PAGE = {"pageSize": "100"}
SET_BY_M3TER = ("productId", "dtCreated", "dtLastModified")
"""What stays in an entity although no PUT sends it."""

NEW_JOB = {"status": "PENDING", "type": "CREATE"}


def _made(kind: str) -> Callable[[Stage, Write], Json]:
    return lambda stage, write: stage.add(write.path, kind, write.body)


def _changed(stage: Stage, write: Write) -> Json:
    before = stage.known(write.id)
    kept = {name: before[name] for name in SET_BY_M3TER if name in before}
    version = int(write.body.get("version") or before.get("version") or 0) + 1
    return stage.change(write.id, {**kept, **write.body, "id": write.id, "version": version})


def _deleted(stage: Stage, write: Write) -> Json:
    before = stage.known(write.id)
    stage.change(write.id, None)
    return {**before, "id": write.id}


def _plan_put(stage: Stage, write: Write) -> Json:
    return stage.add(write.path, "account-plan", {**write.body, **_product(stage, write)})


def _replaced(stage: Stage, write: Write) -> Json:
    path = write.path.removesuffix("/replace")
    collection, _, original_id = path.rpartition("/")
    original = stage.known(original_id) or stage.look("get account plan", path)
    ended = {**original, "endDate": write.body["startDate"], "version": int(original.get("version") or 0) + 1}
    new = stage.add(collection, "account-plan", {**write.body, **_product(stage, write)})
    return {"originalAccountPlan": stage.change(original_id, ended), "newAccountPlan": new}


def _product(stage: Stage, write: Write) -> dict[str, Any]:
    """m3ter says of a plan which product it is for."""
    plan = _sold(stage, write)
    return {"productId": plan["productId"]} if "planId" in write.body and plan.get("productId") else {}


def _sold(stage: Stage, write: Write) -> Json:
    """The plan or the plan group that is to be put on an account; NotFound where m3ter has none."""
    root = write.path.partition("/accountplans")[0]
    if "planId" in write.body:
        return stage.look("get plan", f"{root}/plans/{write.body['planId']}")
    return stage.look("get plan group", f"{root}/plangroups/{write.body['planGroupId']}")


def _unknown_plan(stage: Stage, write: Write) -> None:
    """A plan that m3ter does not have is put on nothing."""
    try:
        _sold(stage, write)
    except NotFound:
        raise VendorRejected(NAME, write.operation, 400, "", "it has no such plan") from None


def _taken_code(stage: Stage, write: Write) -> None:
    """An account's code is taken by at most one."""
    code = write.body["code"]
    found = stage.look("find account", write.path, {"codes": code, **PAGE})
    if any(account.get("code") == code for account in found["data"]):
        raise Conflict(NAME, write.operation, 409, "", "the code is already in use", policy="conflict")


def _taken_charge(stage: Stage, write: Write) -> None:
    """A charge's code is taken by at most one; only those of the same account can be seen."""
    body = write.body
    if NEW.fullmatch(body["accountId"]):
        return
    found = stage.look("find charge", write.path, {"accountId": body["accountId"], "entityType": "AD_HOC", **PAGE})
    if any(charge.get("code") == body["code"] for charge in found["data"]):
        raise Conflict(NAME, write.operation, 409, "", "the code is already in use", policy="conflict")


def _same_mapping(stage: Stage, write: Write) -> None:
    """The same mapping twice is refused."""
    body = write.body
    if NEW.fullmatch(body["m3terId"]):
        return
    path = f"{write.path}/externalid/{body['externalSystem']}/{body['externalTable']}/{body['externalId']}"
    try:
        found = stage.look("find external mapping", path, PAGE)
    except NotFound:
        return
    if any(all(mapping.get(name) == value for name, value in body.items()) for mapping in found["data"]):
        raise Conflict(NAME, write.operation, 409, "", "the mapping already exists", policy="conflict")


def _entities_ended(stage: Stage, write: Write) -> Json:
    kinds = write.body.get("billingEntities", ())
    return {"statusMessage": "Success", "updatedEntities": {kind: [] for kind in kinds}, "failedEntities": {}}


def _upload_promised(stage: Stage, write: Write) -> Json:
    jobs = write.path.removesuffix("/generateUploadUrl") + "/jobs"
    job = stage.add(jobs, "upload-job", {**write.body, "status": "notUploaded"})
    return {"jobId": job["id"], "url": "https://nowhere.invalid/", "headers": {}}


def _bills_recalculated(stage: Stage, write: Write) -> Json:
    jobs = write.path.removesuffix("/recalculate")
    return stage.add(jobs, "bill-job", {**write.body, **NEW_JOB, "type": "RECALCULATE"})


def _locked(stage: Stage, write: Write) -> Json:
    path = write.path.removesuffix("/lock")
    bill = stage.look("get bill", path)
    return stage.change(_before_last(write), {**bill, "locked": True, "version": int(bill.get("version") or 0) + 1})


def _before_last(write: Write) -> str:
    return write.path.split("/")[-2]


WRITES: Mapping[str, Rehearsed] = {
    "create account": Rehearsed(_made("account"), refuse=_taken_code),
    "update account": Rehearsed(_changed),
    "end account billing entities": Rehearsed(_entities_ended, subject=_before_last),
    "create account plan": Rehearsed(_plan_put, refuse=_unknown_plan),
    "update account plan": Rehearsed(_changed),
    "replace account plan": Rehearsed(_replaced, refuse=_unknown_plan, subject=_before_last),
    "delete account plan": Rehearsed(_deleted),
    "create external mapping": Rehearsed(_made("mapping"), refuse=_same_mapping),
    "update external mapping": Rehearsed(_changed),
    "delete external mapping": Rehearsed(_deleted),
    "create counter adjustment": Rehearsed(_made("counter-adjustment")),
    "update counter adjustment": Rehearsed(_changed),
    "delete counter adjustment": Rehearsed(_deleted),
    "generate upload url": Rehearsed(_upload_promised),
    "create charge": Rehearsed(_made("charge"), refuse=_taken_charge),
    "create bill job": Rehearsed(lambda stage, write: stage.add(write.path, "bill-job", {**write.body, **NEW_JOB})),
    "recalculate bills": Rehearsed(_bills_recalculated),
    "lock bill": Rehearsed(_locked, subject=_before_last),
    "submit measurements": Rehearsed(lambda stage, write: {"result": "accepted"}),
}
TABLE = Table(
    writes=WRITES,
    reading_posts={"query usage": re.compile(r"/usage/query$")},
    filters={
        "codes": "code",
        "ids": "id",
        "account": "accountId",
        "accountId": "accountId",
        "counterId": "counterId",
        "entityType": "entityType",
    },
    look_ups=(
        re.compile(
            r"(?P<collection>.*/externalmappings)/externalid"
            r"/(?P<externalSystem>[^/]+)/(?P<externalTable>[^/]+)/(?P<externalId>[^/]+)"
        ),
        re.compile(r"(?P<collection>.*/externalmappings)/external/(?P<m3terEntity>[^/]+)/(?P<m3terId>[^/]+)"),
    ),
)
