"""The home as a place on a disk: its upkeep, the room in it, and files that leave it or come to it."""
