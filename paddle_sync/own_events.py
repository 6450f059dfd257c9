"""The types of the events that we put on the queue ourselves, beside what vendors tell us."""

SYNC = "subscription.sync"
"""Look at a subscription and its account anew, in Paddle and in m3ter."""
FOUND = "subscription.found"
"""A subscription that existed before this application heard of it, as Paddle's list shows it."""
IMPORT = "repair.import_subscription"
"""Read one subscription from Paddle and take it in as one that was found."""
RELINK = "subscription.relink"
"""Link a subscription to another m3ter account, or have it take one that was there before it."""
SUBSCRIBE = "repair.subscribe_destination"
"""Have Paddle's destination for this application told of every type of event that is needed."""
OWN_TYPES = frozenset({SYNC, FOUND, IMPORT, RELINK, SUBSCRIBE})
"""What no vendor ever sends or lists."""
WITHOUT_SNAPSHOT = frozenset({SYNC, RELINK})
"""Events of a subscription that do not say what it is."""
