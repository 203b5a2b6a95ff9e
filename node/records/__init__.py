"""Records: written, found, and read as a person sees them."""
