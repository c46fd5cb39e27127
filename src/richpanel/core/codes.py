"""The closed list of codes: why a call was refused, an item discarded, or a message not delivered.

A code is part of the contract: clients, traces and figures carry it. Add to the list; never rename.
Sources: facts of Segment's ingest discards (Delivery Overview), `semantics.md` 2, 7, 8 and 10.
"""

from enum import StrEnum


class Code(StrEnum):
    """A reason, with the HTTP status that a single call gets for it and one sentence for people."""

    status: int
    text: str

    def __new__(cls, value: str, status: int, text: str) -> "Code":
        """Make the member a `str` of its code, with `status` and `text` beside it."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.status = status
        member.text = text
        return member

    # The request as a whole is refused; nothing of it is kept.
    INVALID_WRITE_KEY = "invalid_write_key", 401, "No source has this write key."
    INVALID_API_KEY = "invalid_api_key", 401, "No connector has this API key."
    INVALID_SIGNATURE = "invalid_signature", 401, "The signature was not made with the connector's API Secret."
    SOURCE_DISABLED = "source_disabled", 403, "This source is disabled."
    NOT_FOUND = "not_found", 404, "There is nothing at this path."
    METHOD_NOT_ALLOWED = "method_not_allowed", 405, "This path does not take this method."
    REQUEST_TIMEOUT = "request_timeout", 408, "The body did not arrive in time."
    INFLATED_TOO_LARGE = "inflated_too_large", 413, "The body inflates to more than 1 MiB."
    UNSUPPORTED_ENCODING = "unsupported_encoding", 415, "Content-Encoding must be gzip or absent."
    RATE_LIMITED = "rate_limited", 429, "This source is over its rate; try again after Retry-After seconds."
    LOG_FULL = "log_full", 429, "The log cannot take more now; try again after Retry-After seconds."
    OVERLOADED = "overloaded", 429, "More arrives than the server can take; try again after Retry-After seconds."
    LOG_UNSURE = "log_unsure", 503, "The log did not answer: this may be kept or not. Send it again, with its id."
    SHUTTING_DOWN = "shutting_down", 503, "The server is stopping; try again."
    UNSUPPORTED_CALL = "unsupported_call", 501, "The Richpanel destination takes identify, page and track calls."
    PAYLOAD_TOO_LARGE = "payload_too_large", 400, "A request may hold 524,288 bytes at the most."
    TOO_MANY_ITEMS = "too_many_items", 400, "A batch may hold 2,500 items at the most."
    INVALID_GZIP = "invalid_gzip", 400, "The body is not valid gzip."
    INVALID_UTF8 = "invalid_utf8", 400, "The body is not valid UTF-8."
    INVALID_JSON = "invalid_json", 400, "The body is not valid JSON."
    INVALID_BATCH = "invalid_batch", 400, "A batch must be an object with a `batch` array."
    INVALID_PAYLOAD = "invalid_payload", 400, "`h` must be an event, `hs` an envelope of `events`, as base64 of JSON."
    TOO_DEEP = "too_deep", 400, "The JSON is nested too deeply."

    # One item is bad: a 400 for a single call, a discard within a batch.
    MESSAGE_TOO_LARGE = "message_too_large", 400, "A single call may hold 32,768 bytes of JSON at the most."
    NOT_AN_OBJECT = "not_an_object", 400, "A call must be a JSON object."
    INVALID_VALUE = "invalid_value", 400, "A field has a value of the wrong type."
    NUMBER_OUT_OF_RANGE = "number_out_of_range", 400, "A number is outside the range of a double."
    EMPTY_BATCH = "empty_batch", 400, "The batch holds no items."
    TYPE_UNKNOWN = "type_unknown", 400, "`type` must be identify, track, page, screen, group or alias."
    NO_USER_ANON_ID = "no_user_anon_id", 400, "A call needs a userId or an anonymousId."
    ID_REQUIRED = "id_required", 400, "An alias needs previousId and userId; a group needs groupId."
    ID_NOT_STRING = "id_not_string", 400, "Ids must be strings (or integers)."
    MESSAGE_ID_TOO_LONG = "message_id_too_long", 400, "A messageId may hold 100 characters at the most."
    EVENT_NOT_DEFINED = "event_not_defined", 400, "A track call needs an event name."
    EVENT_NOT_STRING = "event_not_string", 400, "The event name must be a string."
    NAME_NOT_STRING = "name_not_string", 400, "The name of a page or screen must be a non-empty string."
    CATEGORY_NOT_STRING = "category_not_string", 400, "The category of a page or screen must be a non-empty string."
    PROPERTIES_NOT_OBJECT = "properties_not_object", 400, "`properties` must be an object."
    TRAITS_NOT_OBJECT = "traits_not_object", 400, "`traits` must be an object."
    CONTEXT_NOT_OBJECT = "context_not_object", 400, "`context` must be an object."
    INTEGRATIONS_NOT_OBJECT = "integrations_not_object", 400, "`integrations` must be an object."
    IDENTITY_UNVERIFIED = "identity_unverified", 400, "This source needs context.userHash with every userId."

    # A mail that is nobody's message: a discard. The mail server was told 250 where the status is 200, else 5xx.
    BOUNCE = "bounce", 200, "The mail is a bounce, or another report on a mail."
    AUTOMATIC_MAIL = "automatic_mail", 200, "A machine says that it wrote this mail (Auto-Submitted, no return path)."
    BULK_MAIL = "bulk_mail", 200, "The mail went to many: a newsletter or a mailing list (Precedence, List-Id)."
    NO_SENDER = "no_sender", 400, "A mail needs an address in From."
    MAIL_UNREADABLE = "mail_unreadable", 400, "The mail's headers are larger than any reader would take."
    MAIL_TOO_LARGE = "mail_too_large", 400, "A mail may hold 33,554,432 bytes at the most."

    # A decision: kept in the log, but no part of the account's state, or not delivered.
    UNSUPPORTED_EVENT_TYPE = "unsupported_event_type", 200, "Screen, group and alias calls are kept, not delivered."
    FILTERED_BY_INTEGRATIONS_OBJECT = (
        "filtered_by_integrations_object",
        200,
        "The call's integrations object turns this destination off.",
    )
    NOT_CONNECTED = "not_connected", 200, "No enabled destination is connected to this source."
    FILTERED_BY_RULES = "filtered_by_rules", 200, "A destination filter dropped the call."
    FILTER_FAILED = "filter_failed", 200, "A destination filter could not be evaluated for the call, so it was dropped."
    INVALID_SETTINGS = "invalid_settings", 401, "The destination's API Key is not one of the account's connectors."
    UID_REQUIRED = "uid_required", 200, "An identify without a userId sets a visitor's traits only."

    # A try to deliver a message failed. Tried again: 408, 429, 5xx, and whatever had no answer (`core.retrying`).
    ANSWERED_3XX = "answered_3xx", 200, "The destination sent us elsewhere: its endpoint is another one now."
    ANSWERED_400 = "answered_400", 200, "The destination answered 400: it takes no such call."
    ANSWERED_401 = "answered_401", 200, "The destination answered 401: it does not know the API Key."
    ANSWERED_403 = "answered_403", 200, "The destination answered 403: the API Key may not do this."
    ANSWERED_404 = "answered_404", 200, "The destination answered 404: there is nothing at its endpoint."
    ANSWERED_4XX = "answered_4xx", 200, "The destination refused the call."
    ANSWERED_408 = "answered_408", 200, "The destination answered 408: the call did not reach it in time."
    ANSWERED_429 = "answered_429", 200, "The destination answered 429: more is sent than it takes."
    ANSWERED_501 = "answered_501", 200, "The destination answered 501: it does not do this."
    ANSWERED_505 = "answered_505", 200, "The destination answered 505: it speaks another version of HTTP."
    ANSWERED_5XX = "answered_5xx", 200, "The destination could not take the call: a fault on its side."
    ANSWER_UNREADABLE = "answer_unreadable", 200, "What the destination answered is not HTTP."
    ANSWER_TIMED_OUT = "answer_timed_out", 200, "The destination did not answer in time."
    CONNECT_TIMED_OUT = "connect_timed_out", 200, "The destination could not be reached in time."
    CONNECTION_REFUSED = "connection_refused", 200, "Nothing listens at the destination's address."
    CONNECTION_RESET = "connection_reset", 200, "The connection to the destination broke."
    CONNECTION_FAILED = "connection_failed", 200, "No connection to the destination could be made."
    HOST_NOT_FOUND = "host_not_found", 200, "The name of the destination's host has no address."
    PRIVATE_ADDRESS = "private_address", 200, "The destination's host has a private address, which is not allowed."
    TLS_FAILED = "tls_failed", 200, "The destination's certificate is not one to trust, or it speaks no TLS."

    # A message was not sent to a destination, or not any more.
    SUPERSEDED = "superseded", 200, "The customer has other values by now, which their own calls deliver."
    BODY_GONE = "body_gone", 200, "What the message said is no longer kept."
    MESSAGE_GONE = "message_gone", 200, "The message is not for the destination any more: another copy of it counts."
    NOT_DELIVERABLE = "not_deliverable", 200, "The message cannot be said in the destination's words."
    DROPPED = "dropped", 200, "Somebody dropped it: it is not sent any more."
    DESTINATION_DELETED = "destination_deleted", 200, "The destination was deleted, or is the account's own by now."

    # Something about a kept message that a person may want to know; shown in its trace.
    TIMESTAMP_REPLACED = "timestamp_replaced", 200, "The timestamp was absent or unusable: the arrival time counts."
    TIMESTAMP_IN_FUTURE = "timestamp_in_future", 200, "The timestamp was after the arrival: the arrival time counts."
    EMAIL_IGNORED = "email_ignored", 200, "The email is not a string with an @: ignored."
    AMOUNT_IGNORED = "amount_ignored", 200, "An amount is not a number: ignored."
    ID_BLOCKED = "id_blocked", 200, "An id that stands for nobody counts as absent."

    # Refused for privacy: answered 200 and counted by source and hour; no payload and no id is kept.
    ERASED = "erased", 200, "The call belongs to what a regulation has erased."
    SUPPRESSED = "suppressed", 200, "A regulation keeps calls of this person out."
