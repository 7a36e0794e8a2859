"""A copy of every BackgroundJob in a database, for people and programs that only read."""
