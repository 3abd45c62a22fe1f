"""How a model on an OpenAI-compatible server is asked: retries, one deadline, and until its answer is valid."""
