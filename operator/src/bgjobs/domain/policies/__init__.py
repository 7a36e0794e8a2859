"""The rules of a BackgroundJob's life, a module each.

A policy takes an observation, the configuration and the time, and answers with
a decision, or with None where it has nothing to say. decide.py gives the order.
"""
