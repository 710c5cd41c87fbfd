"""Which language a text is written in, or None where that is not sure.

Three witnesses, all of them exact and fast. A script that only one language of today uses decides alone. Where it does
not, the profile of characters (resiliparse's, of 101 languages) and the share of the words that are among the commonest
of a language must agree, or the profile must be close to one language and far from the next.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Any

SAMPLE = 3000  # characters looked at: a third each from the beginning, the middle and the end
FEWEST_LETTERS = 20

# Measured on translated interface texts of 82 languages (GNU and Sphinx message catalogues, 20 draws a language and
# length): see tests/corpus/test_language.py for the measurement that is repeated.
MOST_RANK = 600  # of the profile: the distance to the nearest one
CLEAR_MARGIN = 60  # how much farther the next one is where words need not be counted: 1.000 of those were right
LEAST_MARGIN = 30  # and where words do not tell
WORDS_SHARE = 0.12  # of the words that are common ones
WORDS_LEAD = 1.3  # times as many of them as of any other language
WORDS_FEWEST = 3

# Scripts that one language of today is written in; where there are two, the commoner one.
_SCRIPTS = {
    "GREEK": "el",
    "HANGUL": "ko",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "THAI": "th",
    "LAO": "lo",
    "GEORGIAN": "ka",
    "ARMENIAN": "hy",
    "TAMIL": "ta",
    "TELUGU": "te",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
    "SINHALA": "si",
    "KHMER": "km",
    "MYANMAR": "my",
    "TIBETAN": "bo",
    "GUJARATI": "gu",
    "GURMUKHI": "pa",
    "ORIYA": "or",
    "THAANA": "dv",
}

# The commonest words of languages that share a script with others, without those that many of them share.
_COMMON = {
    "en": "the of and to in is that for it was with as be this are by not from or have an which you at they were we "
    "can if when has but all been their will use file if",
    "de": "der die und das ist nicht von mit den des im zu ein eine auf dem für sich auch als wird werden sind wurde "
    "oder es an einer kann bei nach aus durch einen wie über nur zum",
    "fr": "le la les de des et est une du que dans qui pour pas sur par au avec ce il sont aux être plus cette ou ne "
    "se un en été n'est fichier",
    "es": "el la los de que en las del se no por con una para es su al lo como más un y o pero sus este ha fue archivo",
    "it": "il di che la per un del una non è con sono della dei le si da nel al alla gli delle come anche più o questo "
    "nella essere",
    "pt": "o a de que e do da em um para com não uma os no se na por mais as dos como ao das foi ou é são ser pelo "
    "arquivo ficheiro",
    "nl": "de het een van en in is dat op te zijn voor niet met die aan er om als ook door worden wordt of naar bij "
    "kan deze uit geen",
    "sv": "och att det som en är för av på den med inte till har ett om de kan från var eller inga när finns ej vid",
    "da": "og at det som en er for af på den med ikke til har et om de kan fra var eller der blev blive når ved",
    "no": "og å det som en er for av på den med ikke til har et om de kan fra var eller ble blir når ved",
    "fi": "ja on ei se että oli joka tai mutta kun myös ole voi sekä niin kuin hän olla voidaan tiedostoa",
    "pl": "nie i w na jest się do z to że o jak po przez dla od lub być oraz tylko są ale można pliku",
    "cs": "a se na je v že s z o to i do by pro jsou ve ale jako není nebo byl při jeho soubor nelze",
    "sk": "a sa na je v že s z o to do by pre sú vo ale ako nie alebo bol pri jeho súbor nemožno",
    "hu": "a az és nem egy hogy is van volt ez meg csak de ha már vagy lehet mint kell fájl",
    "ro": "de și în la a nu cu pe este din că o se pentru mai un sau care sunt fi prin fișierul",
    "hr": "i je u na se da za od su nije s koji kao ili što bi ako datoteka datoteku može",
    "sl": "in je v na se da za od so ni z ki kot ali tudi bi če po datoteke ne datoteka možno",
    "tr": "ve bir bu için ile de da olarak değil olan ya çok gibi daha ne veya en dosya",
    "id": "yang dan di dengan untuk dari ini tidak pada adalah ke dalam akan oleh atau tersebut telah sebagai berkas",
    "vi": "và của là có không được cho một các trong với này người khi đã những từ để tập tin",
    "ca": "el la de que i les els en un una del per no és amb al dels es o com més aquest fitxer",
    "lt": "ir yra kad su iš į ne tai kaip bet buvo ar nuo per apie o prie failo failą",
    "lv": "un ir ka ar no uz nav tas par kā bet tika vai lai pie nevar datni",
    "et": "ja on ei et see oli ka kui või mis ning seda aga oma kuid faili",
    "eo": "la de kaj estas en al ne por ke kun el per pri aŭ sed kiu ĝi dosiero",
    "ga": "an agus na ar le is ní i go a do ag bhí sé leis nach comhad chun",
    "gd": "agus an na air ann is tha a nach do bha le chan gu gun aig às faidhle",
    "cy": "y yn i a o ar yr mae am wedi gan ei bod nid oedd ffeil ac",
    "eu": "eta da ez bat ere du dira izan zen edo baina ezin fitxategia duen",
    "gl": "de a o que e do da en os non unha un para con as no é por ao ou máis ficheiro dos",
    "sq": "të e në dhe një për nga me që është nuk si ka më do kartela mund",
    "af": "die van en in is dat nie het 'n te vir op met wat sy aan hy word deur was",
    "la": "et in est non ad ut cum sed quod qui ex aut esse per si ab quae atque",
    "ru": "и в не на что с по как это он для из его но от к или был так при файл может у",
    "uk": "і в не на що з як це до та для від або його але за у є файл при можна",
    "be": "і ў не на што з як гэта да для ад або яго але за у файл быць пры",
    "bg": "и в не на се за да от с е че по са като към или ще но може файл при",
    "sr": "и у не на је се за да од са су као или али што ће би датотека датотеку није",
    "mk": "и во не на се за да од со е што како или но ќе датотека може",
    "ar": "في من على أن إلى لا هذا التي عن مع الذي ما هو كان أو غير هذه لم",
    "fa": "و در به از که این را با است برای آن یک تا می بر نیست شده پرونده",
    "ur": "کے میں کی ہے اور سے کا کو اس نہیں پر یہ کہ ہیں نے",
    "hi": "के में है की और से का को नहीं पर यह कि हैं एक लिए फ़ाइल",
    "mr": "आहे आणि या च्या ते नाही मध्ये एक हे साठी आहेत होते",
    "ne": "छ र को मा हुन् पनि गर्न यो लागि छैन भएको",
}  # fmt: skip

_WORDS_OF: dict[str, list[str]] = {}
for _language, _words in _COMMON.items():
    for _word in sorted(set(_words.split())):
        _WORDS_OF.setdefault(_word, []).append(_language)

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


def language_of(text: str) -> str | None:
    """Return the ISO 639-1 code of the language that most of `text` is in, or None where that is not sure."""
    sample = _sample(text)
    if not sample.isascii():
        alone = _by_script(sample)
        if alone is not None:
            return alone
    from resiliparse.parse.lang import detect_fast

    nearest: Any = detect_fast(sample, n_results=6, cutoff=5000)
    (first, rank), (_, next_rank) = nearest[:2]
    margin = next_rank - rank if rank <= MOST_RANK else 0
    if margin >= CLEAR_MARGIN and len(sample) >= 10 * FEWEST_LETTERS:
        return str(first)
    words = [word.lower().replace("’", "'") for word in _WORD.findall(sample)]
    if sum(map(len, words)) < FEWEST_LETTERS:
        return None
    common = _by_words(words)
    if common is not None and common in [language for language, _ in nearest]:
        return common
    return str(first) if margin >= LEAST_MARGIN else None


def _sample(text: str) -> str:
    if len(text) <= SAMPLE:
        return text
    third, middle = SAMPLE // 3, len(text) // 2
    return "\n".join((text[:third], text[middle : middle + third], text[-third:]))


def _by_script(sample: str) -> str | None:
    letters = Counter({char: count for char, count in Counter(sample).items() if char.isalpha()})
    total = sum(letters.values())
    scripts: Counter[str] = Counter()
    for char, count in letters.items():
        if ord(char) >= 0x370:
            scripts[unicodedata.name(char, " ").split(" ")[0]] += count
    japanese = scripts["HIRAGANA"] + scripts["KATAKANA"]
    if total >= 4 and japanese + scripts["CJK"] > total / 2:
        return "ja" if japanese > scripts["CJK"] / 20 else "zh"
    for script, count in scripts.items():
        if script in _SCRIPTS and count > total / 2 and total >= FEWEST_LETTERS / 2:
            return _SCRIPTS[script]
    return None


def _by_words(words: list[str]) -> str | None:
    hits: Counter[str] = Counter()
    for word, count in Counter(words).items():
        for language in _WORDS_OF.get(word, ()):
            hits[language] += count
    ranked = hits.most_common(2)
    if not ranked or ranked[0][1] < max(WORDS_FEWEST, WORDS_SHARE * len(words)):
        return None
    if len(ranked) > 1 and ranked[0][1] < WORDS_LEAD * ranked[1][1]:
        return None
    return ranked[0][0]
