"""Statements on streams: asked for, told, and proven. What they are worth, the store and the machines judge."""
