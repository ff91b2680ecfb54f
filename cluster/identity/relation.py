"""What an app user is to a station: the rules of sharing.

Must not know: where relations are kept, HTTP.
"""

from __future__ import annotations

from typing import Literal

Relation = Literal["owner", "co-owner", "guest"]
"""An owner has the station, a co-owner shares in everything but giving it away, a guest charges within limits."""
