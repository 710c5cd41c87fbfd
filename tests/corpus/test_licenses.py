"""The notices that licences ask for are recognised under any comment signs; what only mentions a licence is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.corpus.licenses import license_of, notice_of
from quire.corpus.measure import Measuring, measured
from quire.documents.document import Document

AS_IS = 'THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED.'
GNU = (
    "This program is free software; you can redistribute it and/or modify it under the terms of the GNU {name} as "
    "published by the Free Software Foundation; {version}. This program is distributed in the hope that it will be "
    "useful, but WITHOUT ANY WARRANTY."
)
BSD = (
    "Redistribution and use in source and binary forms, with or without modification, are permitted provided that the "
    "following conditions are met: 1. Redistributions of source code must retain the above copyright notice. "
    "2. Redistributions in binary form must reproduce the above copyright notice."
)
LATER = "either version {} of the License, or (at your option) any later version"
ISC = (
    "Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby "
    "granted{}. The software is provided as is and the author disclaims all warranties with regard to this software, "
    "including all implied warranties of merchantability and fitness."
)
NOTICES = {
    "MIT": "Permission is hereby granted, free of charge, to any person obtaining a copy of this software, to deal in "
    "the Software without restriction. The above copyright notice and this permission notice shall be included in all "
    f"copies. {AS_IS}",
    "Apache-2.0": 'Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in '
    "compliance with the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0. "
    "Unless required by applicable law or agreed to in writing, software is distributed on an AS IS BASIS.",
    "BSD-2-Clause": BSD,
    "BSD-3-Clause": f"{BSD} 3. Neither the name of the holder may be used to endorse or promote products derived.",
    "GPL-2.0-or-later": GNU.format(name="General Public License", version=LATER.format(2)),
    "GPL-2.0-only": GNU.format(name="General Public License", version="version 2 of the License"),
    "GPL-3.0-or-later": GNU.format(name="General Public License", version=LATER.format(3)),
    "LGPL-2.1-or-later": GNU.format(name="Lesser General Public License", version=LATER.format("2.1")),
    "LGPL-3.0-only": GNU.format(name="Lesser General Public License", version="version 3 of the License"),
    "AGPL-3.0-or-later": GNU.format(name="Affero General Public License", version=LATER.format(3)),
    "MPL-2.0": "This Source Code Form is subject to the terms of the Mozilla Public License, v. 2.0. If a copy of the "
    "MPL was not distributed with this file, You can obtain one at mozilla.org/MPL/2.0/. This notice is here to be as "
    "long as a notice is.",
    "ISC": ISC.format(", provided that the above copyright notice and this permission notice appear in all copies"),
    "0BSD": ISC.format(""),
    "Unlicense": "This is free and unencumbered software released into the public domain. Anyone is free to copy, "
    "modify, publish, use, compile, sell, or distribute this software, either in source code form or as a compiled "
    f"binary, for any purpose. {AS_IS}",
    "BSL-1.0": "Distributed under the Boost Software License, Version 1.0. (See accompanying file LICENSE_1_0.txt or "
    "copy at www.boost.org/LICENSE_1_0.txt). This notice says no more than that, and is long enough to be a notice.",
    "Zlib": "This software is provided 'as-is', without any express or implied warranty. Permission is granted to "
    "anyone to use this software for any purpose, subject to: Altered source versions must be plainly marked as such.",
}

words = st.integers(30, 90)
STYLES = {
    "c": ("/*\n", " * ", "\n */\n"),
    "c-bare": ("/*\n", "", "\n*/\n"),
    "slashes": ("", "// ", "\n"),
    "hashes": ("#!/usr/bin/env python\n", "# ", "\n"),
    "dashes": ("", "-- ", "\n"),
    "semicolons": ("", ";; ", "\n"),
    "html": ("<!--\n", "  ", "\n-->\n"),
    "percent": ("", "%% ", "\n"),
}


def lines_of(text, width):
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


def in_comment(text, style, width):
    before, sign, after = STYLES[style]
    return before + "\n".join(sign + line for line in lines_of(text, width)) + after


@pytest.mark.parametrize("name", NOTICES)
@given(style=st.sampled_from(sorted(STYLES)), width=words, year=st.integers(1990, 2030))
def test_a_notice_is_recognised_under_any_comment_signs_and_line_lengths(name, style, width, year):
    comment = in_comment(f"Copyright {year} The authors. {NOTICES[name]}", style, width)
    text = f"{comment}\ncode = 1\n"
    assert license_of(text) == name
    notice = notice_of(text)
    assert notice is not None
    assert text[notice.start : notice.end] == comment.removeprefix("#!/usr/bin/env python\n")
    # The words make the notice, not the year, the signs, or where lines end.
    other = notice_of(in_comment(f"Copyright 2000 The authors. {NOTICES[name]}", "slashes", 60))
    assert notice.digest == other.digest


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("# Released under the MIT License.\ncode = 1\n", "MIT"),
        ("// License: BSD 3-Clause License\nint main;\n", "BSD-3-Clause"),
        ("# SPDX-License-Identifier: MIT\ncode = 1\n", None),  # the reader knows that one
        ("# This asks which licence is best\ncode = 1\n", None),
        ("license = compute()\n", None),
        ("print('the GNU General Public License')\n", None),
        ("", None),
    ],
)
def test_what_is_short_is_named_and_never_removed(text, name):
    assert license_of(text) == name
    assert notice_of(text) is None


def test_code_in_front_of_a_notice_or_in_its_last_line_keeps_it():
    notice = in_comment(NOTICES["MIT"], "c", 70)
    assert notice_of(f"int x;\n{notice}int y;\n") is None
    assert notice_of(f"{notice.rstrip()} int y;\n") is None
    two = f"/* The authors of it. */\n\n{notice}int y;\n"
    found = notice_of(two)
    assert two[found.start : found.end] == notice


def test_other_words_are_another_notice():
    one = notice_of(in_comment(NOTICES["MIT"], "hashes", 70))
    other = notice_of(in_comment(NOTICES["MIT"] + " With one more sentence.", "hashes", 70))
    assert one.digest != other.digest


@pytest.mark.parametrize("name", NOTICES)
def test_a_document_of_code_says_what_its_head_states(name):
    text = in_comment(f"Copyright 2000 The authors. {NOTICES[name]}", "slashes", 60) + "int x;\n"
    document, measure = measured(Document(text, "x.c", "text/x-c", "", language="C"), Measuring())
    assert (document.license, measure.notice) == (license_of(text), notice_of(text))
    assert document.license == name
    stated, _ = measured(Document(text, "x.c", "text/x-c", "", language="C", license="Zlib"), Measuring())
    assert stated.license == "Zlib"
