"""`python -m ollama_mcp` is the console script `ollama-mcp-server`."""

from ollama_mcp.cli import main

raise SystemExit(main())
