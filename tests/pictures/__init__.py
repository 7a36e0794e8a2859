"""Pictures of every page and state, on data that is hard to show."""
