from hypothesis import given
from hypothesis import strategies as st

from drivers.checksum import crc16_xmodem, xor8


def crc16_bit_by_bit(data):
    """Polynomial 1021, initial value 0, as the RoboClaw manual writes it down."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def test_published_check_values():
    assert crc16_xmodem(b"123456789") == 0x31C3
    assert crc16_xmodem(b"\xff") == 7920
    assert xor8(bytes.fromhex("06010464009cff")) == 4


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_table_and_bits_agree_and_it_goes_on_where_it_left_off(head, tail):
    assert crc16_xmodem(head + tail) == crc16_bit_by_bit(head + tail)
    assert crc16_xmodem(tail, crc16_xmodem(head)) == crc16_xmodem(head + tail)
