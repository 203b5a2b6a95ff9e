"""Pure machines: events come in, actions go out; nothing here does I/O, reads a clock or rolls dice."""
