"""The critic: reads a plan without an LLM, before a picture is drawn from it."""

from agent.critic.critic import Critique, critique
from agent.critic.finding import CODES, Finding

__all__ = ["CODES", "Critique", "Finding", "critique"]
