"""Languages are told from a few sentences, and where they are not sure nothing is said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.corpus.language import SAMPLE, language_of

# Written for this test.
SENTENCES = {
    "en": "The river rose during the night, and by morning the fields below the house were under water. Nobody in the "
    "village could remember such a spring, though the old miller said that it had been worse when he was a boy.",
    "de": "In der Nacht war der Fluss gestiegen, und am Morgen standen die Felder unterhalb des Hauses unter Wasser. "
    "Niemand im Dorf konnte sich an einen solchen Frühling erinnern, obwohl der alte Müller es anders erzählte.",
    "fr": "La rivière avait monté pendant la nuit et, au matin, les champs en contrebas de la maison étaient sous "
    "l'eau. Personne au village ne se souvenait d'un tel printemps, même si le vieux meunier disait le contraire.",
    "es": "El río había crecido durante la noche y por la mañana los campos que había debajo de la casa estaban bajo "
    "el agua. Nadie en el pueblo recordaba una primavera así, aunque el viejo molinero contaba otra cosa.",
    "it": "Il fiume era salito durante la notte e al mattino i campi sotto la casa erano coperti dall'acqua. Nessuno "
    "nel paese ricordava una primavera come quella, anche se il vecchio mugnaio diceva che da ragazzo era peggio.",
    "pt": "O rio subiu durante a noite e de manhã os campos abaixo da casa estavam debaixo de água. Ninguém na aldeia "
    "se lembrava de uma primavera assim, embora o velho moleiro dissesse que em criança tinha visto pior.",
    "nl": "In de nacht was de rivier gestegen en 's ochtends stonden de velden onder het huis blank. Niemand in het "
    "dorp kon zich zo'n voorjaar herinneren, al zei de oude molenaar dat het vroeger nog erger was geweest.",
    "sv": "Floden hade stigit under natten och på morgonen stod fälten nedanför huset under vatten. Ingen i byn kunde "
    "minnas en sådan vår, även om den gamle mjölnaren sade att det hade varit värre när han var pojke.",
    "pl": "W nocy rzeka wezbrała i rano pola poniżej domu stały pod wodą. Nikt we wsi nie pamiętał takiej wiosny, "
    "chociaż stary młynarz mówił, że kiedy był chłopcem, bywało jeszcze gorzej niż teraz.",
    "cs": "Řeka v noci stoupla a ráno byla pole pod domem pod vodou. Nikdo ve vesnici si takové jaro nepamatoval, i "
    "když starý mlynář říkal, že to za jeho dětství bylo ještě horší a že se všichni museli odstěhovat.",
    "fi": "Joki oli noussut yön aikana, ja aamulla talon alapuolella olevat pellot olivat veden alla. Kukaan kylässä "
    "ei muistanut sellaista kevättä, vaikka vanha mylläri sanoi, että hänen poikana ollessaan se oli pahempi.",
    "hu": "Az éjszaka megáradt a folyó, és reggelre a ház alatti földek víz alatt álltak. A faluban senki sem "
    "emlékezett ilyen tavaszra, bár az öreg molnár azt mondta, hogy gyerekkorában ez még rosszabb volt.",
    "tr": "Nehir gece boyunca yükselmişti ve sabah evin altındaki tarlalar su altında kalmıştı. Köyde hiç kimse böyle "
    "bir bahar hatırlamıyordu, ama yaşlı değirmenci çocukluğunda bunun daha kötü olduğunu söylüyordu.",
    "ru": "Ночью река поднялась, и к утру поля ниже дома стояли под водой. Никто в деревне не помнил такой весны, хотя "
    "старый мельник говорил, что в его детстве было ещё хуже и что всем пришлось уехать.",
    "uk": "Уночі річка піднялася, і на ранок поля нижче хати стояли під водою. Ніхто в селі не пам'ятав такої весни, "
    "хоча старий мельник казав, що в його дитинстві було ще гірше і що всі мусили виїхати.",
    "el": "Το ποτάμι φούσκωσε τη νύχτα και το πρωί τα χωράφια κάτω από το σπίτι ήταν μέσα στο νερό.",
    "ar": "ارتفع النهر خلال الليل وفي الصباح كانت الحقول أسفل البيت تحت الماء. لم يتذكر أحد في القرية ربيعا مثل هذا "
    "على الرغم من أن الطحان العجوز قال إن الأمر كان أسوأ عندما كان صبيا.",
    "he": "הנהר עלה במהלך הלילה ובבוקר היו השדות שמתחת לבית מכוסים במים. איש בכפר לא זכר אביב כזה.",
    "ja": "夜のうちに川の水が増え、朝には家の下の畑が水に沈んでいた。村の誰もこんな春を覚えていなかった。",
    "zh": "夜里河水上涨,到了早晨,房子下面的田地都被水淹没了。村里没有人记得有过这样的春天。",
    "ko": "밤사이에 강물이 불어나서 아침에는 집 아래의 밭이 물에 잠겨 있었다. 마을의 누구도 이런 봄을 기억하지 못했다.",
    "th": "แม่น้ำเอ่อขึ้นในเวลากลางคืน และตอนเช้าทุ่งนาใต้บ้านก็จมอยู่ใต้น้ำ ไม่มีใครในหมู่บ้านจำฤดูใบไม้ผลิแบบนี้ได้",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_a_few_sentences_tell_their_language(language):
    text = SENTENCES[language]
    assert language_of(text) == language
    assert language_of(f"{text}\n\n{text}\n" * 50) == language


def test_of_single_sentences_hardly_any_is_called_wrongly():
    """Parts of about 80 characters: some are not told, and at most one in twenty is told wrongly."""
    told = wrong = 0
    for language, text in SENTENCES.items():
        words = text.split(" ")
        for start in range(0, max(len(words) - 12, 1), 6):
            found = language_of(" ".join(words[start : start + 13]))
            told += found is not None
            wrong += found not in (None, language)
    assert told > 60
    assert wrong <= told / 20


@pytest.mark.parametrize("text", ["", "ok", "1 2 3 4 5", "asdf qwer zxcv uiop hjkl", "x = f(y) + 1;\n" * 9, "🙂" * 50])
def test_what_is_no_language_has_none(text):
    assert language_of(text) is None


@given(st.text(max_size=300))
def test_any_text_gives_a_code_or_none(text):
    found = language_of(text)
    assert found is None or (found.isascii() and 2 <= len(found) <= 3)


def test_a_long_text_is_judged_by_its_beginning_middle_and_end():
    text = SENTENCES["de"] * 200 + SENTENCES["fr"]
    assert len(text) > 10 * SAMPLE
    assert language_of(text) == "de"
