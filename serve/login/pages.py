"""The pages of the embedded issuer: plain HTML that needs no script and no other file.

Every text that comes from outside is escaped here. Must not know: who logs in, what happens next.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from typing import Final
from urllib.parse import urlsplit

from fastapi.responses import HTMLResponse

_STYLE: Final = """
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0; display: grid; place-items: center; min-height: 100vh }
main { width: min(22rem, 90vw); padding: 1rem 0 }
header { font-weight: 600; letter-spacing: .02em }
h1 { font-size: 1.5rem; margin: .25rem 0 1rem }
label { display: block; margin: 1rem 0 .4rem }
input { font: inherit; box-sizing: border-box; width: 100%; padding: .6rem; border: 1px solid #767676 }
input { border-radius: .3rem }
input:focus-visible, button:focus-visible { outline: 3px solid #1a73e8; outline-offset: 2px }
button { font: inherit; margin-top: 1.5rem; padding: .7rem; width: 100%; border: 0; border-radius: .3rem }
button { background: #0b57d0; color: #fff; cursor: pointer }
[role=alert] { border-left: 4px solid #b3261e; padding-left: .7rem }
@media (prefers-color-scheme: dark) {
  [role=alert] { border-color: #f2b8b5 }
  input:focus-visible, button:focus-visible { outline-color: #8ab4f8 }
  a { color: #8ab4f8 }
}
"""
_STYLE_HASH: Final = b64encode(sha256(_STYLE.encode()).digest()).decode()


class Page(HTMLResponse):
    """A page with headers that allow it nothing but its style and its form.

    `then`: where the answer to the form may send the browser; browsers hold such redirects to `form-action` too.
    """

    def __init__(self, title: str, body: str, status: int = 200, then: str | None = None) -> None:
        content = (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)} - CloudBay</title>'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
            f"<body><main><header>CloudBay</header><h1>{escape(title)}</h1>{body}</main></body></html>\n"
        )
        super().__init__(content, status, _headers(then))


def login_page(
    hidden: Mapping[str, str], then: str | None, login: str = "", note: str = "", fault: str = "", status: int = 200
) -> Page:
    """Ask for login name and password; `note` says why, where that is not plain."""
    focus_login, focus_password = ("", " autofocus") if login else (" autofocus", "")
    fields = (
        f'<label for="login">Login name</label><input id="login" name="login" value="{escape(login)}" required '
        f'autocomplete="username" autocapitalize="none" spellcheck="false" maxlength="254"{focus_login}>'
        '<label for="password">Password</label><input id="password" name="password" type="password" required '
        f'autocomplete="current-password" maxlength="256"{_described("fault" if fault else "")}{focus_password}>'
    )
    shown = f"<p>{escape(note)}</p>{fields}" if note else fields
    return Page("Log in", _form("/oauth2/login", hidden, shown, "Log in", fault), status, then)


def password_page(
    hidden: Mapping[str, str], then: str | None, login: str, rule: str, fault: str = "", status: int = 200
) -> Page:
    """Ask for a new password, which has to keep to `rule`, in the place of a one-time password."""
    described = _described("fault rule" if fault else "rule")
    fields = (
        f'<p>Your password was for one use. Choose one of your own.</p><p id="rule">{_sentence(rule)}</p>'
        f'<input type="text" name="login" value="{escape(login)}" autocomplete="username" readonly hidden>'
        '<label for="new">New password</label><input id="new" name="new_password" type="password" required '
        f'autocomplete="new-password" maxlength="256"{described} autofocus>'
        '<label for="again">New password again</label><input id="again" name="again" type="password" required '
        'autocomplete="new-password" maxlength="256">'
    )
    return Page("New password", _form("/oauth2/password", hidden, fields, "Set password", fault), status, then)


def logged_in_page() -> Page:
    """Tell that somebody is logged in, whom no application has sent."""
    body = (
        "<p>You are logged in. Applications of CloudBay that you open in this browser know you.</p>"
        '<p><a href="/">What there is</a> &middot; <a href="/oauth2/logout">Log out</a></p>'
    )
    return Page("Logged in", body)


def logout_page(hidden: Mapping[str, str], then: str | None) -> Page:
    """Ask whether to log out."""
    fields = "<p>You will be logged out of every CloudBay application in this browser.</p>"
    return Page("Log out", _form("/oauth2/logout", hidden, fields, "Log out", ""), 200, then)


def logged_out_page() -> Page:
    """Tell that nobody is logged in any more."""
    return Page("Logged out", "<p>You are logged out. You may close this page.</p>")


def fault_page(title: str, fault: str, status: int) -> Page:
    """Tell what is wrong, when there is nowhere to send the browser."""
    return Page(title, _alert(fault), status)


def _form(action: str, hidden: Mapping[str, str], fields: str, button: str, fault: str) -> str:
    alert = _alert(fault) if fault else ""
    kept = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in hidden.items()
    )
    return f'{alert}<form method="post" action="{action}">{kept}{fields}<button>{escape(button)}</button></form>'


def _alert(fault: str) -> str:
    return f'<p role="alert" id="fault">{_sentence(fault)}</p>'


def _described(ids: str) -> str:
    """Return the attribute by which a field names what is said of it elsewhere (WCAG 2.2, 3.3.1 and 3.3.2)."""
    return f' aria-describedby="{ids}"' if ids else ""


def _sentence(text: str) -> str:
    """Return a text of ours, which programs read too, as people read it."""
    return escape(f"{text[:1].upper()}{text[1:]}".rstrip(".")) + "."


def _headers(then: str | None) -> dict[str, str]:
    form_action = "'self'" if then is None else f"'self' {_origin(then)}"
    policy = (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action {form_action}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        # Not no-referrer: browsers would then post the form with `Origin: null`, which is how a foreign page looks.
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
    }


def _origin(uri: str) -> str:
    """Return a URI as a source of a policy: its origin, or its scheme when it is an app's own."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") else f"{parts.scheme}:"
