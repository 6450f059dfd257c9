"""Usage on its way into m3ter: checked at once, counted once, sent in batches, and what m3ter says later read back."""
