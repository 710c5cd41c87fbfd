"""What is said of a PDF depends on that PDF alone, whatever the same worker opened before it."""

import io

import pytest
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

from quire.documents.read import read_bytes
from quire.documents.settings import ReadSettings
from quire.errors import PasswordError, ReadError


def locked_pdf():
    out = io.BytesIO()
    canvas = Canvas(out, encrypt=StandardEncryption("secret", "owner"))
    canvas.drawString(72, 72, "nobody sees this")
    canvas.save()
    return out.getvalue()


def pdf_without_pages():
    body = b"%PDF-1.4\n1 0 obj\n<</Type/Catalog>>\nendobj\n"
    table = b"xref\n0 2\n0000000000 65535 f \n0000000009 00000 n \ntrailer\n<</Size 2/Root 1 0 R>>\n"
    return body + table + b"startxref\n%d\n%%%%EOF\n" % len(body)


def test_a_broken_pdf_after_a_locked_one_is_broken_and_not_locked():
    settings = ReadSettings()
    for data, error in [(locked_pdf(), PasswordError), (pdf_without_pages(), ReadError), (locked_pdf(), PasswordError)]:
        with pytest.raises(ReadError) as caught:
            read_bytes(data, "x.pdf", settings)
        assert type(caught.value) is error
