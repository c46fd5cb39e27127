"""What the tables of the definitions are made of, wherever they stand: the list of them, and kinds of columns."""

from typing import Final

from sqlalchemy import BigInteger, Integer, MetaData, Text

metadata: Final = MetaData()
"""All tables of `account.db`; complete once `store.definitions` is imported."""
Big: Final = BigInteger().with_variant(Integer, "sqlite")
Words: Final = Text().with_variant(Text(collation="C"), "postgresql")
"""Texts that compare by their bytes, on either engine."""
