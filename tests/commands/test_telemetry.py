"""Figures: cheap to count, carried from one process to another, shown in Prometheus' format. Logs: no secrets."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from richpanel import telemetry
from richpanel.web.metrics import exposition


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Gives the figures and the logging back as they were."""
    before = [(figure, dict(figure.values)) for figure in telemetry.FIGURES]
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    for figure in telemetry.FIGURES:
        figure.values.clear()
    yield
    for figure, values in before:
        figure.values.clear()
        figure.values.update(values)  # type: ignore[arg-type]
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def shown() -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    samples = [sample for family in text_string_to_metric_families(exposition().decode()) for sample in family.samples]
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}


def test_counts_are_shown_under_their_labels() -> None:
    telemetry.ACCEPTED.add(2, "src_1", "track")
    telemetry.ACCEPTED.add(3, "src_1", "track")
    telemetry.LOG_BYTES.set(7)
    name = "richpanel_accepted_messages_total"
    assert shown()[name, frozenset({("source", "src_1"), ("type", "track")})] == 5
    assert shown()["richpanel_log_bytes", frozenset()] == 7


def test_a_histogram_counts_what_is_smaller_in_each_bucket() -> None:
    for seconds in (0.0005, 0.001, 0.3, 99):
        telemetry.BATCH_SECONDS.observe(seconds)
    found = shown()

    def bucket(bound: str) -> float:
        return found["richpanel_batch_seconds_bucket", frozenset({("le", bound)})]

    assert [bucket("0.001"), bucket("0.25"), bucket("0.5"), bucket("10.0"), bucket("+Inf")] == [2, 2, 3, 3, 4]
    assert found["richpanel_batch_seconds_sum", frozenset()] == pytest.approx(99.3015)


def test_what_another_process_counted_is_shown() -> None:
    telemetry.BATCHES.add(4)
    telemetry.BATCH_SECONDS.observe(0.2)
    carried = json.loads(json.dumps(telemetry.snapshot()))
    for figure in telemetry.FIGURES:
        figure.values.clear()
    telemetry.take_over(carried)
    telemetry.take_over({"richpanel_unknown": [([], 1)]})
    assert shown()["richpanel_batches_total", frozenset()] == 4
    assert shown()["richpanel_batch_seconds_count", frozenset()] == 1


def test_every_figure_is_named_after_us_and_said_to_be_something() -> None:
    names = [figure.name for figure in telemetry.FIGURES]
    assert len(set(names)) == len(names)
    assert all(name.startswith("richpanel_") for name in names)
    assert all(figure.text.endswith(".") for figure in telemetry.FIGURES)


@pytest.mark.parametrize("style", ["json", "text"])
def test_log_lines_name_the_role_and_hide_secrets(style: telemetry.LogFormat) -> None:
    out = io.StringIO()
    telemetry.configure_logging("front", style=style, stream=out)
    log = telemetry.get_logger("richpanel.test")
    log.info("source_added", write_key="hush-1", api_secret="hush-2", Authorization="hush-3", count=3)
    logging.getLogger("some.library").info("not heard")
    logging.getLogger("some.library").warning("heard %s", "well")
    try:
        token = "hush-4"  # in a traceback, the values of variables are not shown
        raise ValueError(len(token))
    except ValueError:
        log.exception("it_failed")
    text = out.getvalue()
    assert "hush" not in text.replace('token = "hush-4"', "")
    assert "source_added" in text
    assert "not heard" not in text
    assert "heard well" in text
    assert "ValueError" in text
    if style == "json":
        lines = [json.loads(line) for line in text.splitlines()]
        assert [line["role"] for line in lines] == ["front"] * 3
        assert lines[0]["count"] == 3
        assert {"event", "level", "timestamp"} <= lines[0].keys()
