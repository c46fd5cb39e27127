"""The closed list of codes: what each promises to a client."""

import msgspec
import pytest

from richpanel.core.codes import Code

STATUSES = {200, 400, 401, 403, 404, 405, 408, 413, 415, 429, 501, 503}


@pytest.mark.parametrize("code", Code, ids=str)
def test_code_is_a_word_with_a_status_and_a_sentence(code: Code) -> None:
    assert code.value.replace("_", "").isalnum()
    assert code.value == code.value.lower()
    assert code.name == code.value.upper()
    assert code.status in STATUSES
    assert code.text[0].isupper() or code.text[0] == "`"
    assert code.text.endswith(".")


def test_a_sentence_is_said_once() -> None:
    assert len({code.text for code in Code}) == len(Code)


@pytest.mark.parametrize("code", Code, ids=str)
def test_code_travels_as_its_word(code: Code) -> None:
    assert f"{code}" == code == code.value
    assert msgspec.json.encode(code) == b'"%s"' % code.value.encode()
    assert msgspec.json.decode(msgspec.json.encode(code), type=Code) is code


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (Code.INVALID_WRITE_KEY, 401),
        (Code.SOURCE_DISABLED, 403),
        (Code.INFLATED_TOO_LARGE, 413),
        (Code.RATE_LIMITED, 429),
        (Code.LOG_FULL, 429),
        (Code.UNSUPPORTED_CALL, 501),
        (Code.PAYLOAD_TOO_LARGE, 400),
        (Code.INVALID_JSON, 400),
        (Code.NO_USER_ANON_ID, 400),
        (Code.MESSAGE_TOO_LARGE, 400),
    ],
)
def test_statuses_that_clients_rely_on(code: Code, status: int) -> None:
    assert code.status == status


def test_segments_own_words_are_kept() -> None:
    segments = (
        "empty_batch source_disabled no_user_anon_id id_required id_not_string event_not_defined event_not_string "
        "properties_not_object traits_not_object name_not_string category_not_string unsupported_event_type "
        "filtered_by_rules filtered_by_integrations_object invalid_settings"
    )
    assert set(segments.split()) <= {code.value for code in Code}
