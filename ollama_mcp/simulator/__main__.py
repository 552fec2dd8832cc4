"""`python -m ollama_mcp.simulator`."""

from ollama_mcp.simulator.command_line import main

if __name__ == "__main__":
    raise SystemExit(main())
