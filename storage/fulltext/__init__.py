"""Full-text search: an index beside the store that follows the journal, may lag, and can be thrown away."""
