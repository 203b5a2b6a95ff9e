"""The fire drill: what would be left, foretold and then tried."""
