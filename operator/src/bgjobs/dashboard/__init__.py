"""A read-only view of the mirror in the browser, for those who may look."""
