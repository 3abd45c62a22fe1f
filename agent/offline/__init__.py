"""Planning without an LLM: ``OfflinePlanner`` gives the scene graph that ``agent.parsing`` reads its boxes."""

from agent.offline.planner import OfflinePlanner

__all__ = ["OfflinePlanner"]
