"""Planning without an LLM: text to scene graph (``parse``), scene graph to boxes (``place``): ``OfflinePlanner``."""

from agent.offline.planner import OfflinePlanner

__all__ = ["OfflinePlanner"]
