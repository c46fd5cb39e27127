"""The roles' own parts: the server underneath, the relay from the front to the pages."""
