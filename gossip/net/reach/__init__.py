"""Being reached: whether others can connect to this node, and by which detours if not."""
