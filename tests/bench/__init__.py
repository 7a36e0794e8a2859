"""make bench: what BackgroundJobs cost beside plain Jobs, on one machine, within one run."""
