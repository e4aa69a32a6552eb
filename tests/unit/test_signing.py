"""Tokens in links: ours, for this purpose, or refused; nothing else can come of one."""

from __future__ import annotations

import base64
from contextlib import suppress
from itertools import permutations
from typing import Any, get_args

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from itsdangerous import URLSafeSerializer

from shared.errors import FlywheelError, InvalidToken
from shared.signing import Purpose, Signer

SIGNER = Signer({"current": "1", "1": "a-key-of-some-length"})
MEMBER = "m" + "a" * 20


class TestSigning:
    @given(st.lists(st.text(), max_size=4))
    def test_what_was_signed_reads_back(self, parts: list[str]) -> None:
        assert SIGNER.read("survey", SIGNER.sign("survey", *parts)) == tuple(parts)

    def test_signing_twice_gives_the_same_link(self) -> None:
        assert SIGNER.sign("unsubscribe", MEMBER) == SIGNER.sign("unsubscribe", MEMBER)

    def test_a_token_fits_a_url_as_it_is(self) -> None:
        token = SIGNER.sign("bonus", MEMBER, "welcome_back", "2030-01-15T12:00:00.000000Z")
        assert set(token) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
        assert len(token) < 150


class TestPurpose:
    @pytest.mark.parametrize(("signed", "read"), list(permutations(get_args(Purpose), 2)))
    def test_a_token_for_one_purpose_opens_no_other(self, signed: Purpose, read: Purpose) -> None:
        with pytest.raises(InvalidToken):
            SIGNER.read(read, SIGNER.sign(signed, MEMBER))


class TestKeys:
    def test_links_of_before_a_rotation_still_open(self) -> None:
        rotated = Signer({"current": "2", "1": "a-key-of-some-length", "2": "a-newer-key"})
        assert rotated.read("unsubscribe", SIGNER.sign("unsubscribe", MEMBER)) == (MEMBER,)

    def test_the_current_key_signs_wherever_it_stands(self) -> None:
        rotated = Signer({"2": "a-newer-key", "1": "a-key-of-some-length", "current": "2"})
        assert rotated.sign("unsubscribe", MEMBER) == Signer({"current": "n", "n": "a-newer-key"}).sign(
            "unsubscribe", MEMBER
        )

    def test_a_key_taken_away_opens_nothing_any_more(self) -> None:
        with pytest.raises(InvalidToken):
            Signer({"current": "2", "2": "a-newer-key"}).read("unsubscribe", SIGNER.sign("unsubscribe", MEMBER))

    @pytest.mark.parametrize(
        "keys",
        [
            {},
            {"1": "a-key"},
            {"current": "2", "1": "a-key"},
            {"current": "current"},
            {"current": None, "1": "a-key"},
            {"current": "1", "1": ""},
            {"current": "1", "1": None},
            {"current": "1", "1": "a-key", "2": 5},
        ],
    )
    def test_a_secret_without_its_current_key_is_one_sentence(self, keys: dict[str, Any]) -> None:
        with pytest.raises(FlywheelError, match="the links secret must be") as failed:
            Signer(keys)
        assert "a-key" not in str(failed.value)


TOKEN = SIGNER.sign("unsubscribe", MEMBER)


def refused(token: str) -> None:
    with pytest.raises(InvalidToken):
        SIGNER.read("unsubscribe", token)


class TestForeign:
    @pytest.mark.parametrize(
        "token",
        [
            "",
            ".",
            "..",
            "a.b",
            TOKEN[:-1],
            TOKEN[1:],
            TOKEN.replace(".", ""),
            TOKEN + ".x",
            TOKEN.upper(),
            "é.é",
            "\x00",
        ],
    )
    def test_what_is_not_whole_is_refused(self, token: str) -> None:
        refused(token)

    def test_another_s_payload_under_our_signature_is_refused(self) -> None:
        other = SIGNER.sign("unsubscribe", "m" + "b" * 20)
        refused(".".join([other.split(".")[0], TOKEN.split(".")[1]]))

    def test_the_same_key_without_our_salt_is_refused(self) -> None:
        refused(str(URLSafeSerializer("a-key-of-some-length").dumps([MEMBER])))

    @pytest.mark.parametrize("held", ["text", {"a": 1}, [1], [None], None, [["m"]]])
    def test_a_signed_value_of_another_shape_is_refused(self, held: object) -> None:
        refused(str(SIGNER._serializer("unsubscribe").dumps(held)))

    @settings(max_examples=300)
    @given(st.text(st.characters(), max_size=80))
    @example("\ud800")
    @example(base64.urlsafe_b64encode(b'["m"]').decode() + ".")
    def test_arbitrary_text_is_refused_and_nothing_else(self, token: str) -> None:
        refused(token)

    @settings(max_examples=300)
    @given(st.integers(0, len(TOKEN) - 1), st.characters(exclude_characters="."))
    def test_a_changed_letter_never_gives_another_member(self, at: int, letter: str) -> None:
        with suppress(InvalidToken):  # the last letter of a signature has bits that mean nothing
            assert SIGNER.read("unsubscribe", TOKEN[:at] + letter + TOKEN[at + 1 :]) == (MEMBER,)


CODE = SIGNER.code(MEMBER)


def no_code(code: str) -> None:
    with pytest.raises(InvalidToken):
        SIGNER.member_of(code)


class TestReferralCodes:
    @given(st.binary(min_size=10, max_size=10))
    def test_a_code_says_whose_it_is(self, raw: bytes) -> None:
        assert SIGNER.member_of(SIGNER.code(f"m{raw.hex()}")) == f"m{raw.hex()}"

    def test_a_code_is_twenty_letters_of_a_url(self) -> None:
        assert len(CODE) == 20
        assert set(CODE) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")

    @given(
        st.integers(0, len(CODE) - 1),
        st.sampled_from("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"),
    )
    def test_a_code_with_a_letter_changed_is_nobody_s(self, at: int, letter: str) -> None:
        assume(CODE[at] != letter)
        no_code(CODE[:at] + letter + CODE[at + 1 :])

    @settings(max_examples=300)
    @given(st.text(st.characters(), max_size=60))
    @example("")
    @example("=")
    @example("A" * 20)
    @example("\ud800")
    @example(CODE[:-1])
    @example(CODE + "A")
    @example(f"{CODE}\r\nx")
    def test_arbitrary_text_is_nobody_s_code(self, code: str) -> None:
        no_code(code)

    def test_codes_of_before_a_rotation_still_count(self) -> None:
        rotated = Signer({"current": "2", "1": "a-key-of-some-length", "2": "a-newer-key"})
        assert rotated.member_of(CODE) == MEMBER
        assert rotated.code(MEMBER) != CODE
        assert rotated.member_of(rotated.code(MEMBER)) == MEMBER

    def test_a_key_taken_away_ends_its_codes(self) -> None:
        with pytest.raises(InvalidToken):
            Signer({"current": "2", "2": "a-newer-key"}).member_of(CODE)

    @pytest.mark.parametrize("member_id", ["mnobody", "m1"])
    def test_only_a_member_s_id_has_a_code(self, member_id: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            SIGNER.code(member_id)
