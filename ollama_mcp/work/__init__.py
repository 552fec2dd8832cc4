"""What goes beyond a call of Ollama's API."""
