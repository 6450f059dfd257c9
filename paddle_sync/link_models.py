"""What belongs to a linked subscription beside its plans: the counts kept for it, and where people moved its items."""

from django.db import models


class CounterLink(models.Model):
    """A counter adjustment that we keep in m3ter: how many seats an account has from the end of a day on."""

    link = models.ForeignKey("paddle_sync.AccountLink", on_delete=models.CASCADE, related_name="counters")
    m3ter_counter_id = models.CharField(max_length=64)
    day = models.DateField(help_text="The adjustment's date in the organisation's time zone.")
    value = models.BigIntegerField(help_text="The whole count at the end of that day, not a difference.")
    m3ter_adjustment_id = models.CharField(max_length=64)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("link", "m3ter_counter_id", "day"), name="counter_once_a_day"),)

    def __str__(self) -> str:
        return f"{self.m3ter_counter_id} = {self.value} from {self.day}"


class PlanMove(models.Model):
    """A person's decision: from a moment on, an item follows the mapping in force then, not its first one."""

    paddle_subscription_id = models.CharField(max_length=64, db_index=True)
    paddle_price_id = models.CharField(max_length=64)
    moves_at = models.DateTimeField(help_text="From this moment on, by the mapping in force on that day.")
    created_at = models.DateTimeField()
    by = models.CharField(max_length=150)
    reason = models.TextField(blank=True, default="")

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("paddle_subscription_id", "paddle_price_id", "moves_at"), name="move_once_per_moment"
            ),
        )

    def __str__(self) -> str:
        return f"{self.paddle_price_id} of {self.paddle_subscription_id} moves at {self.moves_at:%Y-%m-%d %H:%M}"
