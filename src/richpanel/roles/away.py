"""The page that stands in for the pages while they are away, busy or silent: told by the role at the port, alone.

The pages' process serves their styles, too, so this page brings its own along. It has no script, and what may be asked
again by itself asks again.
"""

from hashlib import blake2b
from html import escape
from http import HTTPStatus
from importlib.resources import files
from typing import Final, NamedTuple

RETRY_SECONDS: Final = 2
"""When to ask again."""
_STYLES: Final = ("tokens.css", "app.css", "pages.css", "frame.css")
_HEADINGS: Final = {
    HTTPStatus.SERVICE_UNAVAILABLE: "We will be back in a moment",
    HTTPStatus.GATEWAY_TIMEOUT: "That took too long",
    HTTPStatus.REQUEST_TIMEOUT: "That took too long",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "That is too large",
}
_ASKS_AGAIN: Final = f"This page asks again every {RETRY_SECONDS} seconds, by itself."
_UNSURE: Final = "What you sent may not have been taken. Look whether it was, and send it again if not."
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>{heading} · Richpanel destination</title>
  {again}
  <link rel="stylesheet" href="{styles}">
</head>
<body>
  <main class="door" id="content">
    <div class="card wrong">
      <div class="empty">
        <svg width="18" height="18" viewBox="0 0 20 20" fill="none" stroke="currentColor" stroke-width="1.5"
          stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path
          d="M10 16.5a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13ZM10 6.5V10l2.5 1.5"/></svg>
        <h1>{heading}</h1>
        <p>{detail}</p>
        {then}
        <p class="faint">{status} {title}</p>
      </div>
      <div class="card-body"><div class="bar buttons">{button}</div></div>
    </div>
  </main>
</body>
</html>
"""


class Styles(NamedTuple):
    """The styles of this page, and the path at which the role at the port gives them."""

    path: str
    content: bytes


def load_styles() -> Styles:
    """Read the styles; their path names their content, so that a browser may keep them."""
    folder = files("richpanel.web") / "static"
    content = b"\n".join((folder / name).read_bytes() for name in _STYLES)
    return Styles(f"/static/{blake2b(content, digest_size=6).hexdigest()}/away.css", content)


def away_page(styles: Styles, status: int, detail: str, *, asks: bool) -> bytes:
    """Write the page. `asks`: the request only asked for something, so it may be made again."""
    again = asks and status == HTTPStatus.SERVICE_UNAVAILABLE
    then = _ASKS_AGAIN if again else None if asks else _UNSURE
    return _PAGE.format(
        heading=escape(_HEADINGS[HTTPStatus(status)]),
        again=f'<meta http-equiv="refresh" content="{RETRY_SECONDS}">' if again else "",
        styles=escape(styles.path),
        detail=escape(detail),
        then=f"<p>{escape(then)}</p>" if then else "",
        status=status,
        title=escape(HTTPStatus(status).phrase),
        button='<a class="button button-main" href="">Try again</a>'
        if asks
        else '<a class="button" href="/">Go to the overview</a>',
    ).encode()
