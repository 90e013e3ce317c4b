"""Reading the configuration: precedence, conversions, and the sentences that stop a start."""

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from relais.access.policy import Action, Mode
from relais.access.principals import Principal, Protocol
from relais.access.tokens import TokenSettings
from relais.archive.settings import OnConflict
from relais.config import Config, ConfigError, address, described, from_json, load, not_heeded, to_json
from relais.config.written import LISTS
from relais.peers.settings import PeerSettings

SHIPPED = Path(__file__).parents[3] / "conf" / "relais.toml"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "relais.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(path: Path | None, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, environ)
    return caught.value.problems


def test_without_a_file_everything_has_its_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load(None, {}).config
    assert (config.dimse.ae_title, config.dimse.host, config.dimse.port) == ("RELAIS", "127.0.0.1", 11112)
    assert (config.web.host, config.web.port) == ("127.0.0.1", 8080)
    assert config.access.mode is Mode.OPEN_LOOPBACK
    assert config.node.data_dir == tmp_path / "data"
    assert config.index.path == tmp_path / "data" / "index.sqlite"
    assert config.storage.path_of_url() == tmp_path / "data" / "objects"
    assert config.public_url == "http://127.0.0.1:8080"


def test_the_default_file_is_read_where_it_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "relais.toml").write_text('[node]\nname = "north"')
    monkeypatch.chdir(tmp_path)
    assert load(None, {}).config.node.name == "north"


def test_a_data_directory_with_odd_characters_survives_the_urls(tmp_path: Path) -> None:
    folder = tmp_path / "données 100% #1"
    config = load(written(tmp_path, ""), {"RELAIS_NODE__DATA_DIR": str(folder)}).config
    assert config.storage.path_of_url() == folder / "objects"
    assert config.index.path == folder / "index.sqlite"


def test_the_environment_goes_before_the_file_and_the_file_before_the_default(tmp_path: Path) -> None:
    path = written(tmp_path, "[dimse]\nport = 104\nmax_associations = 5\n")
    loaded = load(path, {"RELAIS_DIMSE__PORT": "11113"})
    assert (loaded.config.dimse.port, loaded.config.dimse.max_associations) == (11113, 5)
    sources = {(section, key): source for section, key, _, source in described(loaded)}
    assert sources["dimse", "port"] == "RELAIS_DIMSE__PORT"
    assert sources["dimse", "max_associations"] == f"{path}, line 3"
    assert sources["dimse", "ae_title"] == "default"


def test_a_value_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    secret = tmp_path / "title"
    secret.write_text("NORTH\n")
    assert load(written(tmp_path, ""), {"RELAIS_DIMSE__AE_TITLE_FILE": str(secret)}).config.dimse.ae_title == "NORTH"


def test_a_secret_file_that_is_missing_is_named(tmp_path: Path) -> None:
    found = problems(written(tmp_path, ""), RELAIS_DIMSE__AE_TITLE_FILE="/nowhere/at-all")
    assert found == ["RELAIS_DIMSE__AE_TITLE_FILE: /nowhere/at-all: no such file or directory"]


@pytest.mark.parametrize("text", ["https://a.example, https://b.example", '["https://a.example","https://b.example"]'])
def test_lists_in_the_environment_are_words_with_commas_or_json(tmp_path: Path, text: str) -> None:
    config = load(written(tmp_path, ""), {"RELAIS_WEB__CORS_ORIGINS": text}).config
    assert config.web.cors_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(("text", "value"), [("true", True), ("Yes", True), ("0", False), ("off", False)])
def test_truth_in_the_environment(tmp_path: Path, text: str, value: bool) -> None:
    config = load(written(tmp_path, ""), {"RELAIS_DIMSE__CHECK_CALLED_AE_TITLE": text}).config
    assert config.dimse.check_called_ae_title is value


def test_choices_are_words(tmp_path: Path) -> None:
    config = load(written(tmp_path, '[archive]\non_conflict = "replace"'), {}).config
    assert config.archive.on_conflict is OnConflict.REPLACE


def test_names_with_one_underscore_are_not_ours(tmp_path: Path) -> None:
    assert load(written(tmp_path, ""), {"RELAIS_WEB_PORT": "tcp://10.0.0.1:80"}).config.web.port == 8080


def test_names_that_look_like_settings_and_are_none_are_told() -> None:
    told = {
        "RELAIS_DIMSE_PORT": "; did you mean RELAIS_DIMSE__PORT?",
        "RELAIS_FOO": ": they are called RELAIS_<SECTION>__<KEY>.",
        "RELAIS_INDEX_URL_FILE": "; did you mean RELAIS_INDEX__URL_FILE?",
    }
    heeded = ("RELAIS_CONFIG", "RELAIS_DIMSE__PORT", "PATH", "RELAISE_X", "RELAIS_TEST_INDEX")
    found = list(not_heeded(dict.fromkeys((*told, *heeded), "1")))
    assert found == [f"{name} in the environment is no setting{hint}" for name, hint in told.items()]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[dimse]\nport = "abc"', "line 2: [dimse] port: expected a whole number, not 'abc'"),
        ("[dimse]\nport = 70000", "line 2: [dimse] port must be from 0 to 65535"),
        ("[dimse]\nprot = 104", "line 2: [dimse] prot: there is no such key; did you mean port?"),
        ("[dimse]\nport = true", "line 2: [dimse] port: expected a whole number, not True"),
        ("[dimse]\nacse_timeout_s = nan", "line 2: [dimse] acse_timeout_s: expected a number, not nan"),
        ("[node]\nname = 5", "line 2: [node] name: expected text in quotes, not 5"),
        ('[node]\ndata_dir = ""', "line 2: [node] data_dir: expected a path, not ''"),
        ('[node]\nlog_level = "loud"', "expected one of debug, info, warning, error, not 'loud'"),
        ('[node]\npublic_url = "pacs"', 'line 2: [node] public_url must be like "https://pacs.example.org"'),
        ("[web]\ncors_origins = 3", "line 2: [web] cors_origins: expected a list, not 3"),
        ('[dimse]\ncheck_called_ae_title = "maybe"', "expected true or false, not 'maybe'"),
        ("\n[dimze]\nport = 1", "line 2: there is no section [dimze]; did you mean dimse?"),
        ("dimse = 3", "line 1: dimse must be written as [dimse] with its keys below"),
        ("[peers]\nname = 'x'", "peers must be written as [[peers]] with its keys below"),
        ("[dimse\nport = 1", "Expected ']' at the end of a table declaration"),
        ('[index]\nurl = "mysql://x"', "line 2: [index] url must be sqlite:///PATH"),
        ('[storage]\nurl = "ftp://bucket"', "line 2: [storage] url must be file:///PATH"),
        ("[dimse]\nworkers = 0", "[dimse] workers must be from 1 to 64"),
        ("[dimse]\nport = 8080", "two doors need two ports"),
    ],
)
def test_what_is_wrong_in_the_file_is_told_with_its_place(tmp_path: Path, text: str, sentence: str) -> None:
    found = problems(written(tmp_path, text))
    assert len(found) == 1
    assert sentence in found[0]


def test_what_is_wrong_in_the_environment_is_told_with_its_name(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    assert problems(path, RELAIS_DIMSE__PORT="abc") == [
        "RELAIS_DIMSE__PORT: [dimse] port: expected a whole number, not 'abc'"
    ]
    assert problems(path, RELAIS_DIMSE__PROT="1") == ["RELAIS_DIMSE__PROT: [dimse] has no key prot; did you mean port?"]
    assert "there is no section [dimze]" in problems(path, RELAIS_DIMZE__PORT="1")[0]
    assert "only be written in the file" in problems(path, RELAIS_PEERS__NAME="x")[0]


def test_every_problem_is_found_at_once(tmp_path: Path) -> None:
    text = '[dimse]\nport = "x"\nmax_pduu = 1\n[web]\nport = -1\n[[peers]]\nname = "a"\nport = 0\n[extra]\n'
    found = problems(written(tmp_path, text), RELAIS_NODE__NAMES="x")
    assert len(found) == 6
    assert [word for word in ("port", "max_pduu", "extra", "names") if any(word in line for line in found)] == [
        "port", "max_pduu", "extra", "names",
    ]  # fmt: skip


def test_a_file_that_is_missing_or_no_text_or_too_large_is_refused(tmp_path: Path) -> None:
    assert problems(tmp_path / "none.toml") == [f"{tmp_path / 'none.toml'}: no such file or directory"]
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    assert problems(tmp_path / "bytes.toml") == [f"{tmp_path / 'bytes.toml'}: is not UTF-8 text"]
    (tmp_path / "large.toml").write_bytes(b"#" * 2_000_000)
    assert "is larger than" in problems(tmp_path / "large.toml")[0]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "", "pacs.example.org"])
@pytest.mark.parametrize("section", ["dimse", "web"])
def test_listening_beyond_loopback_needs_enforced_access(tmp_path: Path, section: str, host: str) -> None:
    text = f'[{section}]\nhost = "{host}"\n'
    assert 'set [access] mode = "enforced"' in problems(written(tmp_path, text))[0]
    enforced = load(written(tmp_path, text + '[access]\nmode = "enforced"'), {}).config
    assert enforced.access.mode is Mode.ENFORCED


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_is_open(tmp_path: Path, host: str) -> None:
    assert load(written(tmp_path, f'[web]\nhost = "{host}"'), {}).config.web.host == host


PEER = '[[peers]]\nname = "SOUTH"\nae_title = "SOUTH"\nhost = "127.0.0.1"\nport = 11113\nmay = ["store"]\n'


def test_peers_become_what_the_policy_grants(tmp_path: Path) -> None:
    config = load(written(tmp_path, PEER + '[access]\nmode = "enforced"'), {}).config
    assert [peer.name for peer in config.peers] == ["SOUTH"]
    south, mallory = Principal(Protocol.DIMSE, "SOUTH"), Principal(Protocol.DIMSE, "MALLORY")
    assert config.policy.allows(south, Action.STORE)
    assert not config.policy.allows(south, Action.RETRIEVE)
    assert not any(config.policy.allows(mallory, action) for action in Action)


def test_two_peers_cannot_share_a_name(tmp_path: Path) -> None:
    assert problems(written(tmp_path, PEER + PEER))[0] == "[[peers]] SOUTH: this name is given to 2 peers"


def test_two_peers_cannot_share_an_ae_title(tmp_path: Path) -> None:
    [told] = problems(written(tmp_path, PEER + PEER.replace('name = "SOUTH"', 'name = "EAST"')))
    assert told == "[[peers]] SOUTH: this AE title, by which they are told apart, is given to 2 peers"


def test_a_peer_that_is_wrong_is_named(tmp_path: Path) -> None:
    found = problems(written(tmp_path, PEER.replace("11113", '"x"') + "colour = 1"))
    assert len(found) == 2
    assert all("[[peers]] SOUTH: " in line for line in found)
    assert "name: is missing" in problems(written(tmp_path, "[[peers]]\nhost = 'h'"))[0]


def test_what_is_wrong_with_a_peer_is_told_where_it_is_written(tmp_path: Path) -> None:
    text = PEER + PEER.replace("SOUTH", "EAST") + "colour = 1\n" + "[[peers]]\nname = 'WEST'\nkind = 'dimse'\n"
    where = [line.split(": ")[0].removeprefix(f"{tmp_path}/") for line in problems(written(tmp_path, text))]
    assert [place.rpartition(" ")[2] for place in where] == ["13", "14"]


def test_each_setting_of_a_peer_tells_where_it_was_written(tmp_path: Path) -> None:
    loaded = load(written(tmp_path, PEER + PEER.replace("SOUTH", "EAST")), {})
    told = {(section, key): source for section, key, _, source in described(loaded)}
    assert told["peers EAST", "port"].endswith("line 11")
    assert told["peers EAST", "timeout_s"] == "default"


def test_a_config_survives_the_way_to_another_process(tmp_path: Path) -> None:
    config = load(written(tmp_path, PEER + '[web]\ncors_origins = ["https://a.example"]'), {}).config
    assert from_json(to_json(config)) == config


def test_passwords_in_urls_are_masked(tmp_path: Path) -> None:
    loaded = load(written(tmp_path, '[node]\npublic_url = "https://user:geheim@pacs.example.org"'), {})
    shown = [value for section, key, value, _ in described(loaded) if (section, key) == ("node", "public_url")]
    assert shown == ["https://user:********@pacs.example.org"]


def test_the_public_url_has_no_slash_at_its_end_and_may_have_a_path(tmp_path: Path) -> None:
    config = load(written(tmp_path, '[node]\npublic_url = "https://example.org/relais/"'), {}).config
    assert config.public_url == "https://example.org/relais"


def test_addresses_as_they_stand_in_urls() -> None:
    assert address("0.0.0.0", 80) == "127.0.0.1:80"
    assert address("::1", 80) == "[::1]:80"
    assert address("pacs", 80) == "pacs:80"


def test_the_shipped_file_is_valid_and_says_what_the_defaults_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(SHIPPED, {}).config == load(None, {}).config


def test_what_the_shipped_file_shows_as_defaults_are_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = re.sub(r"^# (\w+ = )", r"\1", SHIPPED.read_text(encoding="utf-8").split("# [[peers]]")[0], flags=re.M)
    shown, default = load(written(tmp_path, text), {}).config, load(None, {}).config
    assert shown.storage.url == "file:///var/lib/relais/objects"
    assert replace(shown, storage=default.storage, index=default.index, archive=default.archive) == default
    assert replace(shown.index, url=default.index.url) == default.index
    no_paths = {"cache_dir": "", "deidentify_key_file": ""}
    assert replace(shown.archive, **no_paths) == replace(default.archive, **no_paths)


def test_the_peer_that_the_shipped_file_shows_is_valid(tmp_path: Path) -> None:
    shown = re.sub(r"^# ", "", "# [[peers]]" + SHIPPED.read_text(encoding="utf-8").split("# [[peers]]")[1], flags=re.M)
    config = load(written(tmp_path, shown), {}).config
    assert [peer.name for peer in config.peers] == ["SOUTH"]
    assert [token.name for token in config.tokens] == ["rosa"]
    for kind in (PeerSettings, TokenSettings):
        assert [f.name for f in fields(kind) if f"\n{f.name} =" not in shown and f.name != "kind"] == []


TOKEN = f'[[tokens]]\nname = "rosa"\nsha256 = "{"0a" * 32}"\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TOKEN.replace("0a", "0g"), "[[tokens]] rosa: sha256 must have 64 hexadecimal digits"),
        (TOKEN.replace("rosa", "ro:sa"), "name must have 1 to 64 characters"),
        (TOKEN + 'may = ["move"]', "may must hold only store, search, retrieve, delete; not move"),
        (TOKEN + 'networks = ["north"]', "'north' does not appear to be"),
        (TOKEN + TOKEN, "[[tokens]] rosa: this name is given to 2 tokens"),
        ('[[tokens]]\nname = "rosa"', "sha256 must have 64 hexadecimal digits"),
        (TOKEN + 'certificates = ["Rosa"]', 'certificates must hold "sha256:'),
        (TOKEN + 'certificates = ["CN=Rosa"]', "certificates are given, but nobody tells of them"),
        ('[web]\ncertificate_field = "ClientCert"', "certificate_field needs proxies"),
        ('[web]\nproxies = ["::1"]\ncertificate_field = "Client-Cert"', "could be forged with an underscore"),
        ('[web]\nproxies = ["::1"]\ncertificate_field = "Client_Cert"', "could be forged with an underscore"),
    ],
)
def test_a_token_that_cannot_be_used_stops_the_start(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in problems(written(tmp_path, text))[0]


def test_the_shipped_file_names_every_key() -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    config = load(SHIPPED, {}).config
    for section in (f.name for f in fields(Config) if f.name not in LISTS):
        assert f"\n[{section}]\n" in text
        part = text.split(f"\n[{section}]\n", 1)[1].split("\n[", 1)[0]
        missing = [f.name for f in fields(type(getattr(config, section))) if f"{f.name} =" not in part]
        assert not missing, (section, missing)
