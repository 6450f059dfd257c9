"""What every test has at hand. The mode and the database are chosen in tests/environment.py, before Django loads."""

from hypothesis import HealthCheck, settings

# Two cores shared by several workers make any deadline a lottery.
settings.register_profile("suite", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", parent=settings.get_profile("suite"), max_examples=2_000)
settings.load_profile("suite")
