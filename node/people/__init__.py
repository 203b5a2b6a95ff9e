"""People: whom this account follows, and how two who know each other find together."""
