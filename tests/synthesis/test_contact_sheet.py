import numpy as np

from avce_pl.synthesis import contact_sheet


def test_contact_sheet_is_a_reproducible_picture() -> None:
    sheet = contact_sheet(size=48, rows=1)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1:] == (7 * (48 + 4), 3)
    assert sheet.std() > 30
    np.testing.assert_array_equal(sheet, contact_sheet(size=48, rows=1))
    assert contact_sheet(size=48, rows=2).shape[0] > sheet.shape[0]
