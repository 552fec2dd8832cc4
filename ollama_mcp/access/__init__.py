"""Access to files and foreign addresses: the rules, and the only code that opens, writes and fetches by them."""

from ollama_mcp.access.access import Access
from ollama_mcp.access.allowed import AllowedFolders, allow_folder, allowed_folders_file
from ollama_mcp.access.environment import RuntimeEnvironment
from ollama_mcp.access.files import OpenedFile, open_file
from ollama_mcp.access.globs import FoundFiles
from ollama_mcp.access.output import Output
from ollama_mcp.access.path_syntax import path_of_file_uri
from ollama_mcp.access.read_rules import FolderNotAllowed, Purpose, ReadRules
from ollama_mcp.access.write_rules import WriteRules

__all__ = [
    "Access",
    "AllowedFolders",
    "FolderNotAllowed",
    "FoundFiles",
    "OpenedFile",
    "Output",
    "Purpose",
    "ReadRules",
    "RuntimeEnvironment",
    "WriteRules",
    "allow_folder",
    "allowed_folders_file",
    "open_file",
    "path_of_file_uri",
]
