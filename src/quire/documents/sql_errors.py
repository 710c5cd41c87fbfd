"""What databases and their drivers say, as errors of quire: with what to do, and without passwords."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from quire.errors import QuireError, UsageError

if TYPE_CHECKING:
    from sqlalchemy import URL

_READS = "Only queries that read are allowed, such as SELECT; nothing is ever written to a database"
_REACHED = "Is the server running there, and are the host, the port and the user in the address right?"
_FORBIDDEN = re.compile(r"read.?only|not authorized|authorization denied", re.IGNORECASE)


@contextlib.contextmanager
def explained(url: URL, name: str) -> Iterator[None]:
    """Turn what SQLAlchemy and drivers raise into errors without the password, and without a cause that may hold it."""
    from sqlalchemy.exc import NoSuchModuleError, ResourceClosedError, SQLAlchemyError

    try:
        yield
    except NoSuchModuleError:
        hint = "Known are sqlite, postgresql, mysql, mariadb, oracle and mssql, and what SQLAlchemy has a package for"
        raise UsageError(f"no database of the kind {url.drivername!r} is known", where=name, hint=hint) from None
    except ModuleNotFoundError as error:
        hint = f"Install the driver {error.name}"
        raise UsageError(f"the driver of {url.drivername} is not installed", where=name, hint=hint) from None
    except UsageError as error:
        raise UsageError(error.what, where=error.where or name, hint=error.hint) from None
    except ResourceClosedError:
        raise QuireError("the query gives no rows", where=name, hint=_READS) from None
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None)
        refused = getattr(cause, "__cause__", None) or getattr(cause, "__context__", None)
        if isinstance(refused, OSError):
            at = f"{url.host or 'this machine'}" + (f", port {url.port}" if url.port else "")
            what = f"no connection to {at}: {refused.strerror or refused}"
            raise QuireError(_without_password(what, url), where=name, hint=_REACHED) from None
        said = _without_password(_said(error), url)
        raise QuireError(said, where=name, hint=_READS if _FORBIDDEN.search(said) else None) from None


def _said(error: Exception) -> str:
    """Return what the server says: the message alone, where a driver gives fields (PostgreSQL's "M")."""
    cause = getattr(error, "orig", None) or error
    fields = cause.args[0] if cause.args else None
    return str(fields["M"]) if isinstance(fields, dict) and "M" in fields else str(cause)


def _without_password(text: str, url: URL) -> str:
    password = url.password
    if password:
        for form in (
            str(password),
            quote(str(password), safe=""),
            quote_plus(str(password)),
            repr(str(password))[1:-1],
        ):
            text = text.replace(form, "***")
    return " ".join(text.split())
