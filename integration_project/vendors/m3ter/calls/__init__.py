"""The calls of the m3ter client, a module for each subject."""
