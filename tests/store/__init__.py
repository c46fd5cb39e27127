"""The store on its real engine, in a temporary folder."""
