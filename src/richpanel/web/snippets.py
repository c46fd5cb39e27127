"""Copy-and-paste code for Segment's own SDKs, with this server's address and a source's write key filled in."""

import json
from typing import Final, NamedTuple
from urllib.parse import urlsplit


class Snippet(NamedTuple):
    """One way to connect. `key` names it in a link, `hint` is a line of help."""

    key: str
    name: str
    code: str
    hint: str = ""


_BROWSER: Final = """\
<script>
  (function () {
    var queue = (window.analytics = window.analytics || []);
    if (queue.invoked || queue.initialize) return;
    queue.invoked = true;
    queue._writeKey = %(key)s;
    queue._cdn = %(host)s;
    ["identify", "page", "track", "group", "alias", "screen", "ready",
     "reset", "user", "on", "once", "off"].forEach(function (name) {
      queue[name] = function () {
        queue.push([name].concat([].slice.call(arguments)));
        return queue;
      };
    });
    var script = document.createElement("script");
    script.async = true;
    script.src = queue._cdn + "/analytics.js/v1/" + queue._writeKey
      + "/analytics.min.js";
    document.head.appendChild(script);
    queue.page();
  })();
</script>"""

_NPM: Final = """\
import { AnalyticsBrowser } from "@segment/analytics-next";

export const analytics = AnalyticsBrowser.load({
  writeKey: %(key)s,
  cdnURL: %(host)s,
});

analytics.identify("userId123", { email: "john.doe@example.com" });"""

_NODE: Final = """\
import { Analytics } from "@segment/analytics-node";

const analytics = new Analytics({
  writeKey: %(key)s,
  host: %(host)s,
});

analytics.track({
  userId: "userId123",
  event: "Order Completed",
  properties: { order_id: "1001", total: 45.5 },
});"""

_PYTHON: Final = """\
import segment.analytics as analytics

analytics.write_key = %(key)s
analytics.host = %(host)s

analytics.track("userId123", "Order Completed", {
    "order_id": "1001",
    "total": 45.5,
})"""

_SWIFT: Final = """\
let configuration = Configuration(writeKey: %(key)s)
    .apiHost(%(bare)s)
    .cdnHost(%(bare)s)
let analytics = Analytics(configuration: configuration)"""

_KOTLIN: Final = """\
val analytics = Analytics(%(key)s, applicationContext) {
    apiHost = %(bare)s
    cdnHost = %(bare)s
}"""

_PHP: Final = """\
use Segment\\Segment;

Segment::init(%(php_key)s, ["host" => %(php_host)s, "ssl" => %(tls)s]);

Segment::track([
    "userId" => "userId123",
    "event" => "Order Completed",
    "properties" => ["order_id" => "1001", "total" => 45.5],
]);
Segment::flush();"""

_RUBY: Final = """\
require "segment/analytics"

analytics = Segment::Analytics.new(
  write_key: %(key)s,
  host: %(name)s,
  port: %(port)s
)

analytics.track(
  user_id: "userId123",
  event: "Order Completed",
  properties: { order_id: "1001", total: 45.5 }
)
analytics.flush"""

_GO: Final = """\
import "github.com/segmentio/analytics-go/v3"

client, err := analytics.NewWithConfig(%(key)s, analytics.Config{
	Endpoint: %(host)s,
})
if err != nil {
	panic(err)
}
defer client.Close()

client.Enqueue(analytics.Track{
	UserId:     "userId123",
	Event:      "Order Completed",
	Properties: analytics.NewProperties().SetOrderId("1001").SetTotal(45.5),
})"""

_JAVA: Final = """\
Analytics analytics = Analytics.builder(%(key)s)
    .endpoint(%(host)s)
    .build();

analytics.enqueue(TrackMessage.builder("Order Completed")
    .userId("userId123")
    .properties(Map.of("order_id", "1001", "total", 45.5)));
analytics.flush();"""

_CURL: Final = """\
curl %(plain_host)s/v1/identify \\
  --user %(plain_key)s: \\
  --json '{"userId": "userId123",
           "traits": {"email": "john.doe@example.com", "firstName": "John"}}'"""

_CHANNEL: Final = """\
curl %(plain_host)s/api/v1/channels/email/messages \\
  --header 'Authorization: Bearer YOUR_API_TOKEN' \\
  --json '{"from": {"email": "john.doe@example.com"},
           "subject": "Where is my order?", "body": "Hello"}'"""

_ORDER: Final = {
    "web": ("browser", "npm", "curl"),
    "mobile": ("swift", "kotlin", "curl"),
    "server": ("node", "python", "php", "ruby", "go", "java", "curl"),
}


def _values(origin: str, write_key: str) -> dict[str, str]:
    """Give what the texts are filled with; hosts and keys as string literals that each language reads alike."""
    parts = urlsplit(origin)
    is_secret = parts.scheme == "https"
    literals = {
        "key": json.dumps(write_key),
        "host": json.dumps(origin),
        "bare": json.dumps(f"{parts.netloc}/v1"),
        "name": json.dumps(parts.hostname or ""),
        "php_key": _single(write_key),
        "php_host": _single(parts.netloc),
    }
    port = parts.port or (443 if is_secret else 80)
    plain = {"plain_host": origin, "plain_key": write_key, "port": str(port), "tls": str(is_secret).lower()}
    return literals | plain


def _single(text: str) -> str:
    """Write a text for PHP, where a dollar sign between double quotes begins a variable."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def curl(origin: str, write_key: str) -> str:
    """Give a first call to send by hand."""
    return _CURL % _values(origin, write_key)


def channel_call(origin: str) -> str:
    """Give a first channel message to send by hand."""
    return _CHANNEL % _values(origin, "")


def snippets(origin: str, write_key: str, source_type: str) -> list[Snippet]:
    """Give the ways to connect a source of a type, the usual one first."""
    values = _values(origin, write_key)
    all_of_them = {
        "browser": ("Browser", _BROWSER, "Put this into the head of each page, above other scripts."),
        "npm": ("npm", _NPM, "For a bundled web app: npm install @segment/analytics-next"),
        "node": ("Node.js", _NODE, "npm install @segment/analytics-node"),
        "python": ("Python", _PYTHON, "pip install segment-analytics-python"),
        "php": ("PHP", _PHP, "composer require segmentio/analytics-php"),
        "ruby": ("Ruby", _RUBY, "gem install analytics-ruby, version 2.4 or later. It reaches hosts by https alone."),
        "go": ("Go", _GO, "go get github.com/segmentio/analytics-go/v3"),
        "java": ("Java", _JAVA, "com.segment.analytics.java:analytics from Maven Central, version 3 or later."),
        "swift": ("Swift", _SWIFT, "Segment's Swift library reaches hosts by https alone."),
        "kotlin": ("Kotlin", _KOTLIN, "Segment's Kotlin library reaches hosts by https alone."),
        "curl": ("curl", _CURL, "The HTTP Tracking API, by hand."),
    }
    wanted = _ORDER.get(source_type, ())
    return [Snippet(key, name, code % values, hint) for key in wanted for name, code, hint in (all_of_them[key],)]
