from __future__ import annotations

import codecs
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.documents.document import DroppedFile
from quire.documents.formats.encodings import decode

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(TEXT.filter(lambda text: not text.startswith("\ufeff")))
def test_utf8_comes_back_exactly_with_or_without_a_mark(text: str) -> None:
    assert decode(text.encode("utf-8")) == (text, "utf-8", 0)
    assert decode(codecs.BOM_UTF8 + text.encode("utf-8")) == (text, "utf-8", 3)


@given(TEXT, st.sampled_from(["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]))
def test_marked_wide_encodings_come_back_exactly(text: str, encoding: str) -> None:
    mark = "\ufeff".encode(encoding)
    assert decode(mark + text.encode(encoding)) == (text, encoding, len(mark))


@given(
    st.lists(st.from_regex(r"[^\W\u0130\u0230]{1,9}", fullmatch=True), min_size=9),
    st.sampled_from(" \n"),
    st.sampled_from("lb"),
)
def test_words_in_sixteen_bits_need_no_mark(words, between, order):
    text = between.join([*words, "a word"])
    data = text.encode(f"utf-16-{order}e")
    assert decode(data) == (text, f"utf-16-{order}e", 0)


def test_line_ends_and_white_space_stay() -> None:
    text = "\n\n  a\r\n\tb \r c\n\n"
    assert decode(text.encode()).text == text


SENTENCES = {
    "cp1252": "“Ça coûte 10 £”, déjà payé à Zürich — für 5 €. Øl på Ærø, niño.\n",
    "cp1251": "Привет, как дела сегодня? Это простой русский текст.\n",
    "koi8-r": "Привет, как дела сегодня? Это простой русский текст.\n",
    "shift_jis": "これは日本語のテキストです。今日はいい天気ですね。\n",
    "gb18030": "这是一个简单的中文文本，今天天气很好。\n",
    "big5": "這是一個簡單的中文文本，今天天氣很好。\n",
    "iso8859-7": "Αυτό είναι ένα απλό ελληνικό κείμενο\n",
}


@pytest.mark.parametrize("encoding", SENTENCES)
def test_older_encodings_are_told_from_the_whole_text(encoding: str) -> None:
    text = SENTENCES[encoding] * 3
    assert decode(text.encode(encoding)).text == text


WESTERN = {
    "German": "Größe und Überfluß der Bücher in der Straße. „Öl“, schrieb er – und schwieg.\n",
    "German, few": "Die Bäume standen still, und wir gingen in das Haus hinein und blieben dort sitzen.\n",
    "French": "Il était une fois, à l'orée de la forêt, un garçon. Où êtes-vous déjà passé, cet été ? Ça brûle.\n",
    "Spanish": "El niño comió más piñas que su mamá, ¿qué pasó después? ¡Nada! Según él, la canción está aquí.\n",
    "Danish": "På Ærø gik en mand over åen, og hans søster gav ham rødgrød med fløde.\n",
    "Swedish": "På ängen där blommorna växte såg han en björn, och den åt blåbär hela dagen.\n",
    "Italian": "La città è più bella di sera, perché lì c'è libertà. Così andò via; però tornerà lunedì.\n",
    "Portuguese": "Não há razão para a informação não estar à mão. Você já comeu maçã, irmão?\n",
    "Finnish": "Hän meni mökille kesällä, missä järvi on syvä ja vesi lämmintä.\n",
    "Dutch": "Hij heeft één idee over de financiële coöperatie, ruïne en reünie.\n",
    "English": "The café was naïve about its résumé; nothing else was in the façade of the house.\n",
    "signs": "It’s “5 £” — or 10 €… Brand™ at 20 °C, § 7, ½ l · No\xa05, a wait…what, wo\xadrd.\n",
    "marks": "An IBM® Redpaper™ on a Unix® system by Acme™.\n",
    "a menu": "╔════════╗\n║ Main   ║\n╠════════╣\n║ 1 Print║\n╚════════╝\nChoose one of the lines.\n",
    "a list": "Café\n",
}


@pytest.mark.parametrize("encoding", ["cp1252", "cp850", "cp437", "mac_roman"])
@pytest.mark.parametrize("language", WESTERN)
def test_pages_of_dos_and_macs_are_told_from_those_of_windows(language: str, encoding: str) -> None:
    if (language, encoding) == ("German, few", "mac_roman"):
        pytest.skip("as Windows has it the one letter, a capital, could begin a word")
    text = WESTERN[language]
    known = "".join(sign for sign in text if sign.encode(encoding, "ignore"))
    if len(known) < len(text) - 4:
        pytest.skip("the code page has not the letters")
    assert decode(known.encode(encoding)).text == known


CENTRAL = {
    "Polish": "Zażółć gęślą jaźń, a potem idź do domu. Świeże źródło płynie przez łąkę.\n",
    "Czech": "Příliš žluťoučký kůň úpěl ďábelské ódy, a pak šel domů přes řeku.\n",
    "Hungarian": "Árvíztűrő tükörfúrógép, és a kertben öt öreg fűzfa állt a víz fölött.\n",
}


@pytest.mark.parametrize("encoding", ["cp1250", "iso-8859-2", "cp852"])
@pytest.mark.parametrize("language", CENTRAL)
def test_no_page_of_dos_or_macs_is_seen_in_central_european_texts(language: str, encoding: str) -> None:
    text = CENTRAL[language] * 3
    found = decode(text.encode(encoding))
    assert found.encoding not in ("cp437", "cp850", "mac_roman")


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("encoding", SENTENCES)
def test_sixteen_bits_without_a_mark_in_many_scripts(encoding: str, order: str) -> None:
    text = SENTENCES[encoding] * 3
    assert decode(text.encode(f"utf-16-{order}")) == (text, f"utf-16-{order}", 0)


def test_one_accent_at_the_end_of_a_long_file_decides() -> None:
    text = "Nothing but ASCII in here.\n" * 4000 + "At the café it cost 5 £.\n"
    assert decode(text.encode("latin-1")) == (text, "cp1252", 0)


def test_latin1_bytes_that_cp1252_leaves_undefined() -> None:
    text = "A control \x81 in the middle of " + "plain words " * 50
    assert decode(text.encode("latin-1")) == (text, "latin-1", 0)


def test_a_few_broken_bytes_do_not_make_utf8_foreign() -> None:
    text = "Zażółć gęślą jaźń. " * 50
    broken = text.encode() + b"\xff" + text.encode()
    assert decode(broken).text == text + "\ufffd" + text


def test_what_the_file_states_goes_before_detection() -> None:
    text = "Cena: 5 zł\n"
    assert decode(text.encode("iso-8859-2"), stated="ISO-8859-2").text == text
    assert decode(text.encode("utf-8"), stated="ISO-8859-2").text == text  # strict UTF-8 is no accident
    assert decode("5 €".encode("cp1252"), stated="iso-8859-1").text == "5 €"
    assert decode("5 €".encode("cp1252"), stated="no-such-encoding").text == "5 €"


@pytest.mark.parametrize(
    "data",
    [
        b"text\0text",
        "sixteen bits, but cut".encode("utf-16-le")[:-1],
        "sixteen bits and a\0".encode("utf-16-le"),
        "control \3 characters in it".encode("utf-16-be"),
        "private \ue000 characters in it".encode("utf-16-le"),
        "half\ud83d of a pair in it".encode("utf-16-le", "surrogatepass"),
        "short".encode("utf-16-le"),
        "/usr/share/one/long/path".encode("utf-16-le"),
        "*** ... !!! ??? *** --- ===".encode("utf-16-be"),
        struct.pack("<200H", *range(200, 400)),
        struct.pack("<100I", *range(32, 132)),
        struct.pack("<100f", *range(32, 132)),
        bytes(range(1, 256)) * 4,
        codecs.BOM_UTF16_LE + "a\0b".encode("utf-16-le"),
    ],
)
def test_binary_is_no_text(data: bytes) -> None:
    with pytest.raises(DroppedFile) as dropped:
        decode(data)
    assert dropped.value.rule == "binary"
