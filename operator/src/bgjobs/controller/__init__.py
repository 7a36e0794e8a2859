"""Turns what is seen into what is done: handlers, work queue, reconciler, admission queue."""
