"""Asking a model: prepare a request, send it, follow the answer, check the result."""
