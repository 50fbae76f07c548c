"""What documents list is what there is: methods in glossary and commands, public names on the API page."""

from __future__ import annotations

import re

from tests.support.documents import DOCUMENTS, commands, name, spans
from tests.support.paths import ROOT
from verifier.problem.method import OLD_NAMES, Method

METHOD = re.compile(r"--method[ =]([\w|-]+)")


def test_the_glossary_has_every_method_with_its_old_name() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text()
    rows = {row.split("`")[1]: row for row in text.splitlines() if row.startswith("| `")}
    for method in Method:
        assert method.value in rows
        assert method.about.old in rows[method.value]


def test_commands_use_the_methods_of_today() -> None:
    known, used = {method.value for method in Method}, set()
    for path in DOCUMENTS:
        text = path.read_text()
        for call in [*commands(text), *spans(text)]:
            used |= {(name(path), one) for names in METHOD.findall(call) for one in names.split("|")}
    wrong = {(document, one) for document, one in used if one not in known and one != "METHOD"}
    assert not wrong
    assert set(OLD_NAMES) & known == set()


def test_the_api_page_has_every_public_name() -> None:
    import recert

    page = (ROOT / "docs" / "site" / "api.rst").read_text()
    documented = set(re.findall(r"^\.\. auto\w+:: recert\.(\w+)$", page, re.M))
    assert set(recert.__all__) - documented <= {"Region"}  # a union of Ball and Box
    assert documented <= set(recert.__all__)
