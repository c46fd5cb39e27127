"""Settings: read from four places in this order, checked, and never showing a secret."""

import json
from pathlib import Path

import pytest

from richpanel.config import (
    SettingError,
    Settings,
    as_options,
    browser_package,
    read_settings,
    table,
    variable,
)
from richpanel.config_values import HIDDEN, lmtp_place, shown


def test_option_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    (tmp_path / "richpanel.toml").write_text('port = 3\nhost = "::1"\nlog_level = "debug"\n')
    effective = read_settings(
        {"data": tmp_path, "port": "1", "host": None}, {"RICHPANEL_PORT": "2", "RICHPANEL_HOST": "0.0.0.0"}
    )
    assert (effective.settings.port, effective.settings.host, effective.settings.log_level) == (1, "0.0.0.0", "debug")
    origins = {name: effective.origins[name] for name in ("data", "port", "host", "log_level", "role")}
    assert origins == {
        "data": "option",
        "port": "option",
        "host": "environment",
        "log_level": "richpanel.toml",
        "role": "default",
    }


def test_the_data_directory_may_come_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "richpanel.toml").write_text("port = 7")
    assert read_settings({}, {"RICHPANEL_DATA": str(tmp_path)}).settings.port == 7
    assert read_settings({}, {"RICHPANEL_DATA": ""}).settings.data == Path("data")


def test_secrets_are_never_shown() -> None:
    effective = read_settings({}, {"RICHPANEL_SECRET_KEY": "k" * 40, "RICHPANEL_ADMIN_PASSWORD": "sesame"})
    shown = {name: value for name, value, _ in effective.shown()}
    assert shown["secret_key"] == shown["admin_password"] == HIDDEN
    assert "sesame" not in str(shown)
    assert {name: value for name, value, _ in read_settings({}, {}).shown()}["secret_key"] == "(unset)"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("port", "http", "whole number"),
        ("port", "65536", "whole number"),
        ("port", "-1", "whole number"),
        ("port", True, "whole number"),
        ("host", " ", "text"),
        ("role", "boss", "one of all"),
        ("public_url", "shop.example", "http://"),
        ("trusted_proxies", "10.0.0.0/33", "10.0.0.0/33"),
        ("trusted_proxies", 7, "addresses"),
        ("body_timeout", "0", "above 0"),
        ("body_timeout", "soon", "above 0"),
        ("log_segment_bytes", "1", "whole number"),
        ("log_archive_after", "always", "or never"),
        ("log_retention", "0", "whole number"),
        ("database_url", "mysql://user:sesame@db/x", "postgresql://"),
        ("database_url", "user:sesame@db/x", "postgresql://"),
        ("log_url", "kafka://user:sesame@x", "nats://"),
        ("log_url", "nats://user:sesame", "nats://"),
        ("log_url", "nats://user:sesame@a,b?replicas=6", "from 1 to 5"),
        ("lmtp", "2424", "HOST:PORT"),
        ("lmtp", ":2424", "HOST:PORT"),
        ("lmtp", "127.0.0.1:0", "HOST:PORT"),
        ("lmtp", "127.0.0.1:x", "HOST:PORT"),
        ("lmtp", "127.0.0.1:25", "port 25"),
        ("lmtp", "unix:", "unix:PATH"),
        ("lmtp", "unix:/" + "x" * 100, "100 bytes"),
        ("contact_forms", "shop.example", "shop.example is no e-mail address"),
        ("contact_forms", 7, "addresses"),
    ],
)
def test_a_value_that_cannot_be_names_its_setting_and_not_a_secret(name: str, value: object, reason: str) -> None:
    with pytest.raises(SettingError, match=reason) as by_option:
        read_settings({name: value}, {})
    assert str(by_option.value).startswith("--" + name.replace("_", "-"))
    with pytest.raises(SettingError) as by_environment:
        read_settings({}, {variable(name): str(value)} if not isinstance(value, bool) else {variable(name): "x"})
    assert str(by_environment.value).startswith(variable(name))
    assert "sesame" not in f"{by_option.value} {by_environment.value}"


@pytest.mark.parametrize(("text", "reason"), [("prot = 1", "prot"), ("data = 'x'", "data"), ("=", "richpanel.toml")])
def test_a_file_that_cannot_be_read_or_names_no_setting(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "richpanel.toml").write_text(text)
    with pytest.raises(SettingError, match=reason):
        read_settings({"data": tmp_path}, {})


def test_certificate_and_key_go_together() -> None:
    with pytest.raises(SettingError, match="go together"):
        read_settings({"tls_key": "key.pem"}, {})


_CLUSTER = {"database_url": "postgresql://db/x", "log_url": "nats://one:4222,two?stream=SHOP"}


@pytest.mark.parametrize(("given", "missing"), [("database_url", "log_url"), ("log_url", "database_url")])
def test_a_cluster_needs_a_database_and_a_log(given: str, missing: str) -> None:
    with pytest.raises(SettingError, match=f"go together, and {missing} is not set"):
        read_settings({given: _CLUSTER[given]}, {})
    settings = read_settings(_CLUSTER, {}).settings
    assert (settings.database_url, settings.log_url) == (_CLUSTER["database_url"], _CLUSTER["log_url"])
    assert read_settings({**_CLUSTER, "database_url": "postgres://db/x"}, {}).settings == settings


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("database_url", "postgresql://shop@db/x", "postgresql://(hidden)@db/x"),
        ("database_url", "postgresql://shop:ses,am@e@a,b/x", "postgresql://shop:(hidden)@a,b/x"),
        ("database_url", "postgresql:///x?host=/run&password=sesame", "postgresql:///x?host=/run&password=(hidden)"),
        ("database_url", "postgresql://db/x?sslpassword=sesame", "postgresql://db/x?sslpassword=(hidden)"),
        ("log_url", "nats://a:4222,tls://b?stream=X", "nats://a:4222,tls://b?stream=X"),
        ("log_url", "nats://sesame@a", "nats://(hidden)@a"),
        ("log_url", "nats://me:sesame@a,nats://me:sesame@b", "nats://me:(hidden)@a,nats://me:(hidden)@b"),
        ("log_url", "nats://a,me:sesame@b", "nats://a,me:(hidden)@b"),
    ],
)
def test_passwords_in_urls_are_not_shown(name: str, value: str, shown: str) -> None:
    effective = read_settings({**_CLUSTER, name: value}, {})
    assert {row: text for row, text, _ in effective.shown()}[name] == shown
    assert getattr(effective.settings, name) == value


def test_settings_reach_a_child_unchanged(tmp_path: Path) -> None:
    given = {"data": str(tmp_path), "trusted_proxies": "127.0.0.1, 10.0.0.0/8", "port": "0", "keep_alive": "3"}
    given |= {"log_archive_after": "never", "log_retention": "400", **_CLUSTER}
    settings = read_settings(given, {"RICHPANEL_SECRET_KEY": "k" * 40}).settings
    assert read_settings(as_options(settings), {}).settings == settings
    assert shown(settings.log_archive_after) == "never"
    assert json.loads(json.dumps(as_options(settings)))["log_archive_after"] == "never"
    assert [str(network) for network in settings.trusted_proxies] == ["127.0.0.1/32", "10.0.0.0/8"]


def test_every_setting_has_help_and_a_default_that_reads_as_itself() -> None:
    defaults = Settings()
    for name, rule in table().items():
        assert rule.help.endswith("."), name
        value = getattr(defaults, name)
        if value is not None and value != ():
            assert rule.read(str(value)) == value, name


def test_the_browser_sdk_is_where_it_is_said_to_be(tmp_path: Path) -> None:
    assert browser_package(Settings(analytics_js=tmp_path)) == tmp_path


def test_where_mail_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for given, place in [
        ("127.0.0.1:2424", ("127.0.0.1", 2424)),
        ("[::1]:24", ("::1", 24)),
        ("mail.shop.example:2424", ("mail.shop.example", 2424)),
        ("unix:/run/lmtp", Path("/run/lmtp")),
        ("unix:run/lmtp", tmp_path / "run" / "lmtp"),
    ]:
        settings = read_settings({"lmtp": given}, {}).settings
        assert settings.lmtp is not None
        assert lmtp_place(settings.lmtp) == place
        assert read_settings(as_options(settings), {}).settings == settings
    forms = read_settings({"contact_forms": " A@x.example, b@x.example,"}, {}).settings
    assert forms.contact_forms == ("a@x.example", "b@x.example")
    assert read_settings(as_options(forms), {}).settings == forms
