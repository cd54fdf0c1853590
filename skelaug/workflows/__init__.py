"""Where the parts meet: run(config) -> Report; nothing here prints."""
