"""Pure decisions: frozen structs in, a Decision out. No I/O."""
