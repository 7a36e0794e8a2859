"""What bgjobs decides, as pure functions over data: no clock, no input, no output."""
