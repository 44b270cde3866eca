"""Commands that tell how a store is, verify it, and repair it."""
