import pytest

from libs.secret import Secret
from libs.vault.ring import CannotOpen, KeyRing, WrongKeys, parse_keys, place_of

KEY = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4
PARTS = ("grant", "6f1c2f0e", "refresh", "3")
PLACE = place_of(*PARTS)
PLAINTEXT = b"rft.CNRYplaintext"


@pytest.fixture
def ring() -> KeyRing:
    return parse_keys(None, Secret(f"new:{KEY},old:{OTHER}"))


def test_what_is_sealed_opens_in_its_place(ring: KeyRing) -> None:
    sealed = ring.seal(PLAINTEXT, PLACE)
    assert PLAINTEXT not in sealed
    assert ring.open(sealed, PLACE) == PLAINTEXT


@pytest.mark.parametrize("plaintext", [b"", b"\0", bytes(100_000)])
def test_any_bytes_can_be_sealed(ring: KeyRing, plaintext: bytes) -> None:
    assert ring.open(ring.seal(plaintext, PLACE), PLACE) == plaintext


def test_a_flipped_bit_anywhere_is_noticed(ring: KeyRing) -> None:
    sealed = ring.seal(PLAINTEXT, PLACE)
    for position in range(len(sealed)):
        for bit in (1, 128):
            damaged = bytearray(sealed)
            damaged[position] ^= bit
            with pytest.raises(CannotOpen):
                ring.open(bytes(damaged), PLACE)


def test_a_shortened_or_lengthened_value_is_noticed(ring: KeyRing) -> None:
    sealed = ring.seal(PLAINTEXT, PLACE)
    for damaged in [*(sealed[:length] for length in range(len(sealed))), sealed + b"\0"]:
        with pytest.raises(CannotOpen):
            ring.open(damaged, PLACE)


@pytest.mark.parametrize("part", range(len(PARTS)))
def test_every_part_of_the_place_matters(ring: KeyRing, part: int) -> None:
    elsewhere = [*PARTS]
    elsewhere[part] += "x"
    with pytest.raises(CannotOpen, match="another place"):
        ring.open(ring.seal(PLAINTEXT, PLACE), place_of(*elsewhere))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "bc"), ("ab", "c")),
        (("a", "b"), ("ab",)),
        (("a", "b"), ("b", "a")),
        (("a",), ("a", "")),
        (("", "a"), ("a", "")),
        (("a\0b",), ("a", "b")),
        ((), ("",)),
    ],
)
def test_no_two_places_look_alike(ring: KeyRing, one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert place_of(*one) != place_of(*other)
    with pytest.raises(CannotOpen):
        ring.open(ring.seal(PLAINTEXT, place_of(*one)), place_of(*other))


def test_a_value_of_an_unknown_key_stays_closed(ring: KeyRing) -> None:
    sealed = parse_keys(None, Secret(f"foreign:{KEY}")).seal(PLAINTEXT, PLACE)
    with pytest.raises(CannotOpen, match="not known here"):
        ring.open(sealed, PLACE)


def test_a_key_id_with_another_key_stays_closed(ring: KeyRing) -> None:
    sealed = parse_keys(None, Secret(f"new:{OTHER}")).seal(PLAINTEXT, PLACE)
    with pytest.raises(CannotOpen):
        ring.open(sealed, PLACE)


def test_an_old_key_still_opens_and_no_longer_seals(ring: KeyRing) -> None:
    before = parse_keys(None, Secret(f"old:{OTHER}")).seal(PLAINTEXT, PLACE)
    assert ring.open(before, PLACE) == PLAINTEXT
    assert b"new" in ring.seal(PLAINTEXT, PLACE)[:5]


def test_no_two_sealings_are_alike(ring: KeyRing) -> None:
    sealed = [ring.seal(PLAINTEXT, PLACE) for _ in range(1_000)]
    assert len(set(sealed)) == 1_000
    assert len({one[5:17] for one in sealed}) == 1_000


def test_one_key_is_a_ring_of_its_own() -> None:
    ring = parse_keys(Secret(KEY.upper()), None)
    assert (ring.key_ids, ring.active) == (("default",), "default")
    assert ring.open(ring.seal(PLAINTEXT, PLACE), PLACE) == PLAINTEXT


def test_the_first_of_many_keys_is_active(ring: KeyRing) -> None:
    assert (ring.key_ids, ring.active) == (("new", "old"), "new")


def test_a_repr_shows_no_key(ring: KeyRing) -> None:
    assert repr(ring) == "KeyRing(2 keys, active=new)"


WRONG_KEY = {
    "63 digits": KEY[:-1],
    "65 digits": KEY + "0",
    "a line break": KEY + "\n",
    "a space before": " " + KEY,
    "a space inside": KEY[:32] + " " + KEY[32:],
    "0x": "0x" + KEY[2:],
    "not hexadecimal": "g" + KEY[1:],
    "digits of another script": "٣" + KEY[1:],
    "full-width digits": "\uff10" + KEY[1:],
    "all zero": "0" * 64,
    "one byte over and over": "ab" * 32,
}


@pytest.mark.parametrize("text", WRONG_KEY.values(), ids=WRONG_KEY.keys())
def test_a_wrong_key_is_refused_and_not_repeated(text: str) -> None:
    for key, keys in ((Secret(text), None), (None, Secret(f"k1:{text}")), (None, Secret(f"k0:{OTHER},k1:{text}"))):
        with pytest.raises(WrongKeys) as caught:
            parse_keys(key, keys)
        assert text.strip()[:8] not in str(caught.value)


WRONG_RING = {
    "the same id twice": f"k1:{KEY},k1:{OTHER}",
    "the same key twice": f"k1:{KEY},k2:{KEY.upper()}",
    "no id": f":{KEY}",
    "no colon": KEY,
    "a space after the comma": f"k1:{KEY}, k2:{OTHER}",
    "a comma at the end": f"k1:{KEY},",
    "a long id": f"{'k' * 33}:{KEY}",
    "an id with a dot": f"k.1:{KEY}",
    "an id with a line break": f"k1\n:{KEY}",
    "an id beyond ASCII": f"ключ:{KEY}",
    "only a comma": ",",
}


@pytest.mark.parametrize("text", WRONG_RING.values(), ids=WRONG_RING.keys())
def test_a_wrong_ring_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(WrongKeys) as caught:
        parse_keys(None, Secret(text))
    assert KEY[:8] not in str(caught.value).lower()


@pytest.mark.parametrize(("key", "keys"), [(Secret(KEY), Secret(f"k1:{OTHER}")), (None, None)])
def test_exactly_one_variable_holds_keys(key: Secret | None, keys: Secret | None) -> None:
    with pytest.raises(WrongKeys, match="TOKEN_ENC_KEYS"):
        parse_keys(key, keys)


def test_an_id_may_have_32_characters() -> None:
    ring = parse_keys(None, Secret(f"{'k' * 32}:{KEY}"))
    assert ring.open(ring.seal(PLAINTEXT, PLACE), PLACE) == PLAINTEXT
