"""The academic service's own database."""
