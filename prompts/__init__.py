"""What an LLM planner reads and must answer: prompt texts with a version, and the schema of an answer."""
