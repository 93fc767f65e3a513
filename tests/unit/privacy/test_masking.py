"""What is masked, what is looked past, and what holds for every text."""

from __future__ import annotations

import itertools
import time
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from contact_hub.privacy.masking import EVERYTHING, SENSITIVE, Kind, find, mask

CARD, IBAN, ID, EMAIL, PHONE = Kind.CARD, Kind.IBAN, Kind.NATIONAL_ID, Kind.EMAIL, Kind.PHONE

MASKED = [
    # cards, in the spacings and scripts people type
    ("My card is 4111 1111 1111 1111, thanks", "My card is [card], thanks", {CARD}),
    ("4111-1111-1111-1111", "[card]", {CARD}),
    ("4111.1111.1111.1111", "[card]", {CARD}),
    ("Amex 378282246310005", "Amex [card]", {CARD}),
    ("6 0 1 1 1 1 1 1 1 1 1 1 1 1 1 7", "[card]", {CARD}),
    ("4111\u00a01111\u20091111\u20111111", "[card]", {CARD}),
    ("at number 12 4111111111111111", "at number 12 [card]", {CARD}),
    ("بطاقتي ٤١١١ ١١١١ ١١١١ ١١١١", "بطاقتي [card]", {CARD}),
    ("卡号４１１１１１１１１１１１１１１１谢谢", "卡号[card]谢谢", {CARD}),
    ("५५५५ ५५५५ ५५५५ ४४४४", "[card]", {CARD}),
    ("R26-00001-8 4111111111111111", "R26-00001-8 [card]", {CARD}),
    ("paid on 22.11.2026 with 5555555555554444", "paid on 22.11.2026 with [card]", {CARD}),
    # accounts
    ("IBAN DE89 3704 0044 0532 0130 00.", "IBAN [iban].", {IBAN}),
    ("ie29aibk93115212345678 please", "[iban] please", {IBAN}),
    ("GB82-WEST-1234-5698-7654-32", "[iban]", {IBAN}),
    ("mi cuenta es ES91 2100 0418 4502 0005 1332", "mi cuenta es [iban]", {IBAN}),
    ("FR14 2004 1010 0505 0001 3M02 606 merci", "[iban] merci", {IBAN}),
    ("TR33 0006 1005 1978 6457 8413 26", "[iban]", {IBAN}),
    ("PL61109010140000071219812874", "[iban]", {IBAN}),
    # national ids
    ("my SSN is 219-09-9998", "my SSN is [id]", {ID}),
    ("NINO: AB 12 34 56 C", "NINO: [id]", {ID}),
    ("mi DNI 12345678Z", "mi DNI [id]", {ID}),
    ("NIE X-1234567-L", "NIE [id]", {ID}),
    ("Steuer-ID 86 095 742 719", "Steuer-ID [id]", {ID}),
    ("ma sécu : 2 95 10 99 126 111 93", "ma sécu : [id]", {ID}),
    ("codice fiscale RSSMRA85T10A562S", "codice fiscale [id]", {ID}),
    ("PESEL 44051401359", "PESEL [id]", {ID}),
    ("o meu NIF é 123456789", "o meu NIF é [id]", {ID}),
    ("kimlik numaram 10000000146", "kimlik numaram [id]", {ID}),
    ("PPS 6433435F", "PPS [id]", {ID}),
    ("身份证11010519491231002X", "身份证[id]", {ID}),
    # ways to be reached
    ("write to jo.o'brien+city@mail.example.org!", "write to jo.o'[email]!", {EMAIL}),
    ("call +353 87 123 4567", "call [phone]", {PHONE}),
    ("087 123 4567 or 0049 151 23456789", "[phone] or [phone]", {PHONE}),
    ("(212) 234-5678", "[phone]", {PHONE}),
    ("llámeme al 600 123 456", "llámeme al [phone]", {PHONE}),
    ("اتصل بي ٠٠٣٥٣ ٨٧ ١٢٣ ٤٥٦٧", "اتصل بي [phone]", {PHONE}),
    ("手机 13812345678", "手机 [phone]", {PHONE}),
    # more than one
    (
        "Jo, jo@mail.example, +353871234567, DE89370400440532013000",
        "Jo, [email], [phone], [iban]",
        {EMAIL, PHONE, IBAN},
    ),
]

LEFT = [
    "How is my report R26-00001-8 going?",
    "R26-00001-8 and R26-00002-6 and r26-12345678-0",
    "12-14 Mill Lane, flat 3, Dublin 8",
    "Calle Mayor 128, 3º 2ª, 28013 Madrid",
    "On 22.11.2026 from 08:00-18:00",
    "2026-01-01 2026-12-31",
    "01/02/2026 - 28/02/2026",
    "Open 8:00-12:00, 13:30-18:00",
    "I paid 1.250.000,00 € for it",
    "das kostet 12.345.678.901 EUR",
    "£12,345.67 and $9999999 and 1 000 000 zł",
    "waste/recycling-collection version 45",
    "0193f0e2-7a4c-7d11-8f6e-4d5f60718293",
    "Bus 46A at 17:05, platform 3",
    "4111 1111 1111 1112",  # one digit wrong
    "ES91 2100 0418 4502 0005 1334",
    "12345678A",
    "44051401358",
    "K86095742719X is a meter",
    "someone@home, not an address",
    "",
    "٣ حاويات في شارع ١٢",
    "我住在人民路128号",
    "Kırık lamba 2026 yılında 3 kez",
]


@pytest.mark.parametrize(("text", "masked", "kinds"), MASKED)
def test_what_should_not_travel_is_masked(text: str, masked: str, kinds: set[Kind]) -> None:
    done = mask(text)
    assert done.text == masked
    assert done.kinds == kinds


@pytest.mark.parametrize("text", LEFT)
def test_what_a_city_writes_every_day_is_left(text: str) -> None:
    assert mask(text).text == text
    assert not mask(text).kinds


def test_only_the_kinds_that_are_asked_for_are_masked() -> None:
    text = "4111111111111111, call 087 123 4567"
    assert mask(text, SENSITIVE).text == "[card], call 087 123 4567"
    assert mask(text, frozenset({PHONE})).text == "4111111111111111, call [phone]"


@pytest.mark.parametrize(
    "piece", ["9", "1 ", "1-", "a@", "a.", "AB12", "DE89 ", "+", "4111 1111 1111 1111 ", "€1 "]
)
def test_a_long_message_is_masked_in_a_moment(piece: str) -> None:
    text = (piece * 5000)[:5000]
    began = time.process_time()
    mask(text)
    assert time.process_time() - began < 3


# Properties ------------------------------------------------------------------------------------------

WORDS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=40)
NUMBERS = st.sampled_from([text for text, _, _ in MASKED] + LEFT)
TEXTS = st.lists(st.one_of(WORDS, NUMBERS, st.integers(0, 10**20).map(str)), max_size=5).map(" ".join)
SCRIPTS = ["0", "٠", "۰", "०", "０"]


@given(TEXTS)
@example("a@b.co")
@settings(deadline=None, max_examples=300)
def test_masking_twice_is_masking_once_and_hardly_lengthens(text: str) -> None:
    done = mask(text)
    assert mask(done.text).text == done.text
    assert not mask(done.text).kinds
    assert len(done.text) <= len(text) + done.text.count("[email]")


@given(TEXTS)
@settings(deadline=None, max_examples=200)
def test_what_is_found_lies_in_order_and_apart(text: str) -> None:
    found = find(text)
    assert all(0 <= one.start < one.end <= len(text) for one in found)
    assert all(before.end <= after.start for before, after in itertools.pairwise(found))


def _with_check_digit(digits: str) -> str:
    total = 0
    for at, digit in enumerate(reversed(digits)):
        doubled = int(digit) * 2 if at % 2 == 0 else int(digit)
        total += doubled - 9 if doubled > 9 else doubled
    return f"{digits}{-total % 10}"


@st.composite
def cards(draw: st.DrawFn) -> str:
    """A Luhn-valid number of 13 to 19 digits, in any script and any spacing."""
    digits = _with_check_digit(draw(st.text("0123456789", min_size=12, max_size=18)))
    zero = ord(draw(st.sampled_from(SCRIPTS)))
    gaps = draw(
        st.lists(st.sampled_from(["", "", "", " ", "-", ".", "  ", " - ", "\u00a0", "\u2013", "\n"]),
                 min_size=len(digits) - 1, max_size=len(digits) - 1)
    )  # fmt: skip
    return "".join(chr(zero + int(d)) + gap for d, gap in zip(digits, [*gaps, ""], strict=True))


@given(
    before=st.sampled_from(["", "card: ", "我的卡号", "see 12, ", "("]),
    card=cards(),
    after=st.sampled_from(["", ".", " ok", "吗", ")"]),
)
@settings(deadline=None, max_examples=400)
def test_every_card_number_is_caught_in_any_spacing(before: str, card: str, after: str) -> None:
    assume(not list(_dates(card)))
    done = mask(f"{before}{card}{after}", SENSITIVE)
    assert done.kinds, card
    left = "".join(c for c in done.text if unicodedata.decimal(c, None) is not None)
    assert len(left) < 13 + len("12"), done.text  # nothing as long as a card number remains


def _dates(text: str) -> Iterator[str]:
    """Whole dates inside a number, which are looked past: nobody spaces a card like that."""
    from contact_hub.privacy import masking

    return (match[0] for match in masking._EVERYDAY.finditer(masking._ascii_digits(text)))


@given(
    st.integers(20, 99),
    st.integers(1, 10**8),
    st.integers(0, 9),
    st.sampled_from(["{}", "my report {} please", "{} {}", "报告{}", "{}, 12 Mill Lane"]),
)
def test_a_reference_is_never_masked(year: int, number: int, check: int, around: str) -> None:
    reference = f"R{year}-{number:05}-{check}"
    text = around.replace("{}", reference)
    assert mask(text, EVERYTHING).text == text
