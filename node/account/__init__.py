"""An account in this home: founded, its secrets, its devices, what its identity says, its renewal."""
