"""The types of the events that we put on the queue ourselves, beside what vendors tell us."""

SYNC = "subscription.sync"
"""Look at a subscription and its account anew, in Paddle and in m3ter."""
FOUND = "subscription.found"
"""A subscription that existed before this application heard of it, as Paddle's list shows it."""
