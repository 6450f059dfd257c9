"""Counters of m3ter, such as seats, and how many an account has."""

from collections.abc import Iterator

from integration_project.errors import Conflict, NotFound
from integration_project.vendors.m3ter.calls.speaking import Speaker, segment
from integration_project.vendors.m3ter.entities import Counter, CounterAdjustment, NewCounterAdjustment, rewritten


class CounterCalls(Speaker):
    """What is counted, and the counts."""

    def list_counters(self) -> Iterator[Counter]:
        """Read all counters."""
        return self._list("list counters", "/counters", Counter.from_m3ter)

    def list_counter_adjustments(self, account_id: str, counter_id: str | None = None) -> tuple[CounterAdjustment, ...]:
        """Read the counts of an account, oldest day first.

        m3ter answers for one counter at a time: without one, each counter there is costs a call.
        """
        counters = [counter.id for counter in self.list_counters()] if counter_id is None else [counter_id]
        found = [
            adjustment
            for counter in counters
            for adjustment in self._list(
                "list counter adjustments",
                "/counteradjustments",
                CounterAdjustment.from_m3ter,
                {"counterId": counter, "accountId": account_id},
            )
        ]
        return tuple(sorted(found, key=lambda adjustment: (adjustment.date, adjustment.counter_id)))

    def create_counter_adjustment(self, adjustment: NewCounterAdjustment) -> CounterAdjustment:
        """Say how many an account has from a day on; Conflict when that day has a count already."""
        return self._call(
            "create counter adjustment",
            "POST",
            "/counteradjustments",
            CounterAdjustment.from_m3ter,
            json=adjustment.to_m3ter(),
        )

    def get_counter_adjustment(self, adjustment_id: str) -> CounterAdjustment:
        """Read one count."""
        path = f"/counteradjustments/{segment(adjustment_id)}"
        return self._call("get counter adjustment", "GET", path, CounterAdjustment.from_m3ter)

    def update_counter_adjustment(self, adjustment: CounterAdjustment, *, value: int) -> CounterAdjustment:
        """Change a count and leave the rest; read again and tried once more on a conflict."""

        def put(current: CounterAdjustment) -> CounterAdjustment:
            return self._call(
                "update counter adjustment",
                "PUT",
                f"/counteradjustments/{segment(current.id)}",
                CounterAdjustment.from_m3ter,
                json=rewritten(current.raw, {"value": value}),
            )

        try:
            return put(adjustment)
        except Conflict:
            return put(self.get_counter_adjustment(adjustment.id))

    def delete_counter_adjustment(self, adjustment: CounterAdjustment) -> None:
        """Take a count away; one that is gone already is what was wanted."""
        try:
            path = f"/counteradjustments/{segment(adjustment.id)}"
            self._call("delete counter adjustment", "DELETE", path, CounterAdjustment.from_m3ter)
        except NotFound:
            return
