"""kubectl bgjob: what people do with BackgroundJobs, as a plugin of kubectl."""
