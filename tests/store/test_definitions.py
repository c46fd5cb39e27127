"""Definitions: what the first start makes, and what each noun's functions promise."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text

from richpanel.store import account, connectors, destinations, imports, sources, tokens, user_sessions, users
from richpanel.store.database import open_engine
from richpanel.store.definitions import definitions_version
from richpanel.store.destinations import MOST_OF_A_SOURCE, DestinationChanges, TooManyInstancesError, UnknownSourceError
from richpanel.store.directory import DataDirectory
from richpanel.store.preparing import prepare, prepare_login
from richpanel.store.secrets import SecretBox, SecretKeyError, make_key, open_secrets
from richpanel.store.sources import SourceChanges
from tests.store.places import ENGINES, make, place

NOW = 1_795_000_000_000


@pytest.fixture(params=ENGINES)
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> DataDirectory:
    return place(request.param, request, tmp_path)


@pytest.fixture
def box(directory: DataDirectory) -> SecretBox:
    return make(directory)


@pytest.fixture
def engine(directory: DataDirectory, box: SecretBox) -> Iterator[Engine]:
    engine = open_engine(directory.account_url)
    yield engine
    engine.dispose()


@pytest.fixture
def conn(engine: Engine) -> Iterator[Connection]:
    with engine.begin() as connection:
        yield connection


# ------------------------------------------------------------------------------------------------------ the first start


def test_the_first_start_makes_what_the_contract_says(conn: Connection) -> None:
    found = {source.name: source for source in sources.list_sources(conn)}
    assert {name: source.type for name, source in found.items()} == {
        "Segment": "segment",
        "Website": "web",
        "Channels": "channel",
    }
    [key] = found["Website"].write_keys
    assert len(key) == 32
    assert found["Segment"].write_keys == found["Channels"].write_keys == ()
    [connector] = connectors.list_connectors(conn)
    assert connector.source == found["Segment"].id
    [destination] = destinations.list_destinations(conn)
    assert (destination.name, destination.catalog_id, destination.endpoint) == ("Richpanel", "richpanel", "account")
    assert destination.api_key == connector.api_key
    assert destination.enabled
    assert set(destination.sources) == {found["Segment"].id, found["Website"].id}
    settings = account.read_account(conn)
    assert (settings.currency, settings.phone_country, settings.session_gap) == ("USD", "US", 30 * 60 * 1000)
    assert len(settings.hash_key) == 32


def test_a_second_start_changes_nothing(directory: DataDirectory, engine: Engine) -> None:
    def everything() -> dict[str, list[tuple[object, ...]]]:
        with engine.connect() as connection:
            tables = ("account", "sources", "write_keys", "connectors", "destinations", "destination_sources")
            return {name: [tuple(row) for row in connection.execute(text(f"SELECT * FROM {name}"))] for name in tables}

    before = everything()
    make(directory)
    assert everything() == before


def test_the_first_login_is_made_once(directory: DataDirectory, box: SecretBox) -> None:
    made = prepare_login(directory, None)
    assert made is not None
    assert made.login == "admin"
    assert len(made.password) >= 16
    assert prepare_login(directory, None) is None
    assert prepare_login(directory, "another password") is None


def test_files_are_private(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "data")
    prepare(directory)
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700
    for name in ("account.db", "state.db", "secret.key"):
        assert stat.S_IMODE((directory.path / name).stat().st_mode) == 0o600, name


# ---------------------------------------------------------------------------------------------------------- the account


def test_account_settings_are_kept(conn: Connection) -> None:
    before = account.read_account(conn)
    changed = account.AccountSettings(
        hash_key=b"ignored", currency="EUR", phone_country="DE", session_gap=60_000, blocked_ids=frozenset({"nobody"})
    )
    account.write_account(conn, changed)
    after = account.read_account(conn)
    assert after.hash_key == before.hash_key, "the key of every hash never changes"
    assert (after.currency, after.phone_country, after.session_gap) == ("EUR", "DE", 60_000)
    assert after.blocked_ids == {"nobody"}


def test_reading_an_account_that_is_not_there_says_what_to_do(conn: Connection) -> None:
    conn.execute(text("DELETE FROM account"))
    assert definitions_version(conn) == 0
    with pytest.raises(LookupError, match="richpanel serve"):
        account.read_account(conn)


# ---------------------------------------------------------------------------------------------------------- sources


def test_a_source_is_connected_unless_told_otherwise(conn: Connection) -> None:
    connected = sources.add_source(conn, "Shop", "server", now=NOW)
    alone = sources.add_source(conn, "Alone", "server", now=NOW, connect=False)
    [destination] = destinations.list_destinations(conn)
    assert connected.id in destination.sources
    assert alone.id not in destination.sources
    destinations.delete_destination(conn, destination.id, now=NOW)
    assert sources.add_source(conn, "Later", "web", now=NOW).write_keys, "no destination to connect to is no error"


def test_a_deleted_source_keeps_its_number_and_loses_its_keys(conn: Connection) -> None:
    source = sources.add_source(conn, "Shop", "web", now=NOW)
    assert sources.delete_source(conn, source.id, now=NOW)
    assert not sources.delete_source(conn, source.id, now=NOW)
    assert sources.get_source(conn, source.id) is None
    assert sources.match_sources(conn, "Shop") == []
    assert sources.match_sources(conn, source.write_keys[0]) == []
    assert source.id not in destinations.list_destinations(conn)[0].sources
    gone = next(row for row in sources.list_sources(conn, deleted=True) if row.id == source.id)
    assert (gone.number, gone.write_keys, gone.deleted_at) == (source.number, (), NOW)
    assert sources.add_source(conn, "Next", "web", now=NOW).number > source.number


def test_a_source_is_found_by_id_name_and_key(conn: Connection) -> None:
    source = sources.add_source(conn, "Shop", "web", now=NOW)
    for given in (source.id, "Shop", source.write_keys[0]):
        assert sources.match_sources(conn, given) == [source]
    sources.add_source(conn, "Shop", "web", now=NOW)
    assert len(sources.match_sources(conn, "Shop")) == 2


def test_write_keys_come_and_go(conn: Connection) -> None:
    source = sources.add_source(conn, "Shop", "web", now=NOW)
    second = sources.add_write_key(conn, source.number, now=NOW + 1)
    [first] = source.write_keys
    assert sources.get_source(conn, source.id).write_keys == (first, second)  # type: ignore[union-attr]
    assert sources.revoke_write_key(conn, first, now=NOW + 2)
    assert not sources.revoke_write_key(conn, first, now=NOW + 2)
    assert sources.get_source(conn, source.id).write_keys == (second,)  # type: ignore[union-attr]


def test_identity_verification_keeps_its_secret_while_off(conn: Connection) -> None:
    source = sources.add_source(conn, "Shop", "web", now=NOW)
    assert source.identity_secret is None
    on = sources.update_source(conn, source.id, SourceChanges(identity_verification=True))
    off = sources.update_source(conn, source.id, SourceChanges(identity_verification=False))
    again = sources.update_source(conn, source.id, SourceChanges(identity_verification=True, rate_limit=5))
    assert on is not None
    assert on.identity_secret
    assert off is not None
    assert off.identity_secret is None
    assert again is not None
    assert (again.identity_secret, again.rate_limit) == (on.identity_secret, 5)
    assert sources.update_source(conn, "src_none", SourceChanges(name="x")) is None


# ------------------------------------------------------------------------------------------------------------- tokens


def test_a_token_is_kept_as_a_hash(conn: Connection) -> None:
    row, token = tokens.add_token(conn, "ci", now=NOW)
    assert token.startswith("rp_")
    assert len(token) >= 35
    assert tokens.find_token(conn, token) == row
    assert tokens.find_token(conn, token[:-1]) is None
    assert tokens.find_token(conn, "\udcff") is None, "what no header can say"
    stored = [bytes(value) for (value,) in conn.execute(text("SELECT hash FROM tokens"))]
    assert token.encode() not in b"".join(stored)


def test_tokens_are_revoked_by_id_or_name(conn: Connection) -> None:
    first, one = tokens.add_token(conn, "ci", now=NOW)
    _, two = tokens.add_token(conn, "ci", now=NOW + 1)
    assert tokens.revoke_tokens(conn, first.id, now=NOW) == 1
    assert tokens.find_token(conn, one) is None
    assert tokens.find_token(conn, two) is not None
    assert tokens.revoke_tokens(conn, "ci", now=NOW) == 1
    assert tokens.list_tokens(conn) == []
    assert tokens.revoke_tokens(conn, "ci", now=NOW) == 0


# -------------------------------------------------------------------------------------------------------------- users


def test_sign_in_and_sessions(conn: Connection) -> None:
    ada = users.add_user(conn, "ada", "correct horse", now=NOW)
    assert users.check_login(conn, "ada", "correct horse") == ada
    assert users.check_login(conn, "ada", "wrong") is None
    assert users.check_login(conn, "eve", "correct horse") is None
    cookie = user_sessions.open_session(conn, ada.id, now=NOW, seconds=60)
    found = user_sessions.find_session(conn, cookie, now=NOW + 59_999)
    assert found is not None
    assert found.user == ada
    assert user_sessions.find_session(conn, cookie, now=NOW + 60_000) is None
    assert user_sessions.find_session(conn, cookie + "x", now=NOW) is None
    user_sessions.close_session(conn, cookie)
    assert user_sessions.find_session(conn, cookie, now=NOW) is None


def test_a_new_password_ends_sessions(conn: Connection) -> None:
    ada = users.add_user(conn, "ada", "old password", now=NOW)
    cookie = user_sessions.open_session(conn, ada.id, now=NOW, seconds=60)
    assert users.set_password(conn, "ada", "new password")
    assert user_sessions.find_session(conn, cookie, now=NOW) is None
    assert users.check_login(conn, "ada", "old password") is None
    assert users.check_login(conn, "ada", "new password") == ada
    assert not users.set_password(conn, "eve", "x")


def test_expired_sessions_are_let_go(conn: Connection) -> None:
    ada = users.add_user(conn, "ada", "password", now=NOW)
    user_sessions.open_session(conn, ada.id, now=NOW, seconds=1)
    user_sessions.open_session(conn, ada.id, now=NOW + 5_000, seconds=1)
    assert conn.execute(text("SELECT count(*) FROM web_sessions")).scalar() == 1


# ------------------------------------------------------------------------------------------ connectors and destinations


def test_a_connector_brings_its_source_and_destination(conn: Connection, box: SecretBox) -> None:
    connector, secret = connectors.add_connector(conn, box, "Second shop", now=NOW)
    assert connectors.connector_secret(conn, box, connector.id) == secret
    assert connectors.find_connector(conn, connector.api_key) == connector
    assert connectors.find_connector(conn, connector.api_key[:-1] + "\N{SNOWMAN}") is None
    own = next(row for row in destinations.list_destinations(conn) if row.api_key == connector.api_key)
    assert own.sources == (connector.source,)
    assert own.name == "Richpanel (Second shop)"
    stored = str(conn.execute(text("SELECT api_secret FROM connectors")).all())
    assert secret not in stored


def test_rotation_issues_both_anew(conn: Connection, box: SecretBox) -> None:
    before, old = connectors.add_connector(conn, box, "Shop", now=NOW)
    rotated = connectors.rotate_connector(conn, box, before.id)
    assert rotated is not None
    after, secret = rotated
    assert (after.number, after.id, after.source) == (before.number, before.id, before.source)
    assert after.api_key != before.api_key
    assert secret != old
    assert connectors.find_connector(conn, before.api_key) is None
    assert connectors.rotate_connector(conn, box, "con_none") is None
    assert connectors.delete_connector(conn, before.id, now=NOW)
    assert connectors.get_connector(conn, before.id) is None
    assert sources.get_source(conn, before.source) is None


def test_a_destination_never_gives_its_secret_back(conn: Connection, box: SecretBox) -> None:
    website = next(row for row in sources.list_sources(conn) if row.name == "Website")
    filters = [{"title": "t", "if": 'type = "page"', "actions": [{"type": "DROP"}], "enabled": True}]
    changes = DestinationChanges(
        name="Hosted",
        sources=[website.id],
        api_key="key",
        api_secret="s3cret-s3cret",
        endpoint="https://api.richpanel.example",
        filters=filters,
    )
    added = destinations.add_destination(conn, box, "richpanel", changes, now=NOW)
    assert (added.name, added.api_key, added.has_secret, added.filters) == ("Hosted", "key", True, filters)
    assert "s3cret" not in str(added)
    assert destinations.destination_secret(conn, box, added.id) == "s3cret-s3cret"
    assert "s3cret" not in str(conn.execute(text("SELECT settings FROM destinations")).all())
    kept = destinations.update_destination(conn, box, added.id, DestinationChanges(enabled=False))
    assert kept is not None
    assert (kept.enabled, kept.api_key, kept.has_secret, kept.sources) == (False, "key", True, (website.id,))
    cleared = destinations.update_destination(conn, box, added.id, DestinationChanges(api_secret=None, sources=[]))
    assert cleared is not None
    assert (cleared.has_secret, cleared.sources) == (False, ())
    assert destinations.destination_secret(conn, box, added.id) is None
    with pytest.raises(UnknownSourceError, match="src_none"):
        destinations.update_destination(conn, box, added.id, DestinationChanges(sources=["src_none"]))
    assert destinations.update_destination(conn, box, "dst_none", DestinationChanges(name="x")) is None


def test_a_source_has_so_many_destinations_and_no_more(conn: Connection, box: SecretBox) -> None:
    website = next(row for row in sources.list_sources(conn) if row.name == "Website")
    other = sources.add_source(conn, "Other", "web", now=NOW, connect=False)
    one = DestinationChanges(name="One", sources=[website.id])
    here = [row for row in destinations.list_destinations(conn) if website.id in row.sources]
    left = range(MOST_OF_A_SOURCE - len(here))
    *_, last = [destinations.add_destination(conn, box, "richpanel", one, now=NOW) for _ in left]
    with pytest.raises(TooManyInstancesError, match="The source Website is connected to 25"):
        destinations.add_destination(conn, box, "richpanel", one, now=NOW)
    with pytest.raises(TooManyInstancesError):
        destinations.copy_destination(conn, last.id, "Copy", [website.id], now=NOW)
    elsewhere = destinations.copy_destination(conn, last.id, "Copy", [other.id], now=NOW)
    assert elsewhere is not None
    both = DestinationChanges(sources=[other.id, website.id])
    with pytest.raises(TooManyInstancesError):
        destinations.update_destination(conn, box, elsewhere.id, both)
    kept = destinations.update_destination(conn, box, last.id, both)
    assert kept is not None
    assert set(kept.sources) == {other.id, website.id}, "it was connected before"
    destinations.delete_destination(conn, last.id, now=NOW)
    assert destinations.update_destination(conn, box, elsewhere.id, both) is not None, "a deleted one makes room"


# ------------------------------------------------------------------------------------------------------------- secrets


def test_secrets_need_the_key_that_sealed_them(tmp_path: Path) -> None:
    with pytest.raises(SecretKeyError, match="there is no secret key"):
        open_secrets(tmp_path)
    make_key(tmp_path)
    box = open_secrets(tmp_path)
    sealed = box.seal("top")
    assert open_secrets(tmp_path).open(sealed) == "top"
    other = open_secrets(tmp_path, "k" * 32)
    with pytest.raises(SecretKeyError, match="another key"):
        other.open(sealed)
    assert open_secrets(tmp_path, "k" * 32).open(other.seal("x")) == "x"
    with pytest.raises(SecretKeyError, match="32 characters"):
        SecretBox("short")


# ------------------------------------------------------------------------------------------------- versions, imports


def test_every_change_moves_the_version(engine: Engine, box: SecretBox) -> None:
    def version() -> int:
        with engine.connect() as connection:
            return definitions_version(connection)

    def after(change: str) -> None:
        seen.append(version())
        assert seen[-1] > seen[-2], change

    seen = [version()]
    with engine.begin() as connection:
        source = sources.add_source(connection, "S", "web", now=NOW)
    after("add_source")
    with engine.begin() as connection:
        sources.update_source(connection, source.id, SourceChanges(enabled=False))
    after("update_source")
    with engine.begin() as connection:
        sources.add_write_key(connection, source.number, now=NOW)
    after("add_write_key")
    with engine.begin() as connection:
        tokens.add_token(connection, "t", now=NOW)
    after("add_token")
    with engine.begin() as connection:
        connector, _ = connectors.add_connector(connection, box, "C", now=NOW)
    after("add_connector")
    with engine.begin() as connection:
        connectors.rotate_connector(connection, box, connector.id)
    after("rotate_connector")
    with engine.begin() as connection:
        account.write_account(connection, account.read_account(connection))
    after("write_account")
    with engine.begin() as connection:
        sources.delete_source(connection, source.id, now=NOW)
    after("delete_source")


def test_import_progress_is_found_again(conn: Connection) -> None:
    source = sources.add_source(conn, "S", "server", now=NOW)
    assert imports.find_import(conn, source.number, "/f") is None
    progress = imports.ImportProgress(
        source=source.number, path="/f", head_bytes=3, head_hash=b"abc", offset=10, lines=2
    )
    imports.save_import(conn, progress)
    progress.offset, progress.accepted = 20, 4
    imports.save_import(conn, progress)
    assert imports.find_import(conn, source.number, "/f") == progress
