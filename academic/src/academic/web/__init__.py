"""The service's pages and its JSON API."""
