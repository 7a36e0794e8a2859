"""Which schedules `make test` runs."""

FIRST_SEED = 1_000_000
SCHEDULES = 500
