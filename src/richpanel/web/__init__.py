"""The REST API and the pages: reads the store, writes definitions, and lets messages in through the log alone."""
