"""Settings: one typed model, read from four layers.

In order of precedence: the command line; the environment (`OLLAMA_MCP_...`, `OLLAMA_HOST`); the config file
(`--config`, `OLLAMA_MCP_CONFIG` or the one in the user's config folder); the shipped config.json.
"""

from ollama_mcp.settings.load import LoadedSettings, SettingsError, load_settings
from ollama_mcp.settings.model import Settings

__all__ = ["LoadedSettings", "Settings", "SettingsError", "load_settings"]
