"""The words everyone uses, as frozen structs: no behaviour beyond their own invariants."""
