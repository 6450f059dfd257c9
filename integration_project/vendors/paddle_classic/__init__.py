"""Paddle Classic: the older of Paddle's two products, still running for accounts that began with it."""
