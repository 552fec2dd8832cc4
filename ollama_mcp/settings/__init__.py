"""Settings: one typed model, read from four layers in this order of precedence.

command line, environment (`OLLAMA_MCP_...`, `OLLAMA_HOST`), config file (`--config`, `OLLAMA_MCP_CONFIG` or the user's
config folder), and the shipped config.json.
"""

from ollama_mcp.settings.load import Loaded, SettingsError, load_settings
from ollama_mcp.settings.model import Settings

__all__ = ["Loaded", "Settings", "SettingsError", "load_settings"]
