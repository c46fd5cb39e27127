"""The sites that tests of `engage` use."""

from tests.web.conftest import data as data
from tests.web.conftest import furnished as furnished
from tests.web.conftest import site as site
