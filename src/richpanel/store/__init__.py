"""Tables and queries on SQLAlchemy Core, one file per noun."""
