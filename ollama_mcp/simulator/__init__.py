"""An Ollama that needs no model: for tests, for a demonstration, and to see what a client does when things go wrong.

It speaks the HTTP API of every recorded generation of Ollama. Its texts are made up and say so.
"""

from ollama_mcp.simulator.answers import Answer
from ollama_mcp.simulator.cloud import CloudSimulator
from ollama_mcp.simulator.command_line import run
from ollama_mcp.simulator.faults import Fault
from ollama_mcp.simulator.scheduler import Latency
from ollama_mcp.simulator.server import Simulator

__all__ = ["Answer", "CloudSimulator", "Fault", "Latency", "Simulator", "run"]
