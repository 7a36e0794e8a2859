"""What can be wrong with what people configure."""


class ConfigurationError(ValueError):
    """A ConfigMap cannot be read; the message names the key and the mend."""
