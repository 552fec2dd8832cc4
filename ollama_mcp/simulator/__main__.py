"""`python -m ollama_mcp.simulator`."""

from ollama_mcp.simulator.process import main

if __name__ == "__main__":
    raise SystemExit(main())
