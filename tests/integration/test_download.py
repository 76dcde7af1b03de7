"""A download that breaks off, or arrives otherwise than it was sent, is tried again later."""

import pytest

from shared import objects
from shared.errors import ServiceUnavailable

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("fault", ["cut", "spoilt"])
def test_what_goes_wrong_on_the_way_is_a_passing_fault(house, failing, fault, tmp_path):
    upload = house.put("uploads/call.mp4", bytes(range(256)) * 4096)
    with failing(lambda action: action == "S3.GET" and fault) as url:
        settings = house.settings.model_copy(update={"endpoint_url": url})
        with (
            pytest.raises(ServiceUnavailable, match="downloading the object"),
            objects.fetch(settings, upload, tmp_path),
        ):
            pass

    assert list(tmp_path.glob("media*")) == []
