"""Text to scene graph, by rules: ``parse``. What the offline planner plans from and the critic reads a plan against."""
