"""Batches whose rows are worked on by many processes, on a store in PostgreSQL and its queue, procrastinate."""
