"""Pure knowledge of Ollama's formats: names, options, durations, file headers. No I/O anywhere below this folder."""
