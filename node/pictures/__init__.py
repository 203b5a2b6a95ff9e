"""Pictures: taken in, given room, wished for and fetched."""
