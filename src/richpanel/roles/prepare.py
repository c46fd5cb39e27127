"""The step before the roles, where something is due: the data directory as this version wants it, and a first login."""

from richpanel.config import Settings
from richpanel.roles.parent import CannotRunError, Parent
from richpanel.store.directory import DataDirectory
from richpanel.store.half_copy import HalfCopyError
from richpanel.store.migrating import RevisionError
from richpanel.store.preparing import prepare, prepare_login
from richpanel.store.secrets import SecretKeyError


def run(settings: Settings, parent: Parent, *, with_login: bool) -> None:
    """Make the data directory ready. `with_login` makes the first login where there is none, and tells the parent.

    Raises CannotRunError, OSError.
    """
    directory = DataDirectory(settings.data, settings.database_url, settings.log_url)
    try:
        prepare(directory, secret_key=settings.secret_key)
    except (SecretKeyError, RevisionError, HalfCopyError) as error:
        raise CannotRunError(str(error)) from error
    login = prepare_login(directory, settings.admin_password) if with_login else None
    if login is not None:
        parent.say(login={"login": login.login, "password": None if settings.admin_password else login.password})
