"""Where notices go: one module a kind of service, all of them over an address that was checked first."""
