"""What may be read, written and fetched, and the only code that does so: one list of folders per purpose."""

from ollama_mcp.access.allowed import AllowedFolders, allow, default_file
from ollama_mcp.access.door import Access
from ollama_mcp.access.files import OpenedFile, open_file
from ollama_mcp.access.globs import Found
from ollama_mcp.access.output import Output
from ollama_mcp.access.purpose import Purpose
from ollama_mcp.access.rules import AccessRules, FolderNotAllowed
from ollama_mcp.access.spelling import path_of_file_uri
from ollama_mcp.access.surroundings import Surroundings
from ollama_mcp.access.writable import WriteRules

__all__ = [
    "Access",
    "AccessRules",
    "AllowedFolders",
    "FolderNotAllowed",
    "Found",
    "OpenedFile",
    "Output",
    "Purpose",
    "Surroundings",
    "WriteRules",
    "allow",
    "default_file",
    "open_file",
    "path_of_file_uri",
]
