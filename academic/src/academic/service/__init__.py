"""What the service does, apart from its pages."""
