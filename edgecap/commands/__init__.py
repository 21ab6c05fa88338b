"""One module a command; `edgecap.cli` imports the one that is called."""
