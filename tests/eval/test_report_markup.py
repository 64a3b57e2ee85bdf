"""The values that a page is built of: only `tag` makes markup."""

from __future__ import annotations

import pytest

from vigil.eval.report.markup import Markup, group, tag


def test_text_is_never_markup_in_an_element_or_an_attribute() -> None:
    made = tag("p", "<script>alert(1)</script> & more", title='"><b onload="x')
    assert made.html == (
        '<p title="&quot;&gt;&lt;b onload=&quot;x">&lt;script&gt;alert(1)&lt;/script&gt; &amp; more</p>'
    )


def test_markup_is_put_in_as_it_is_and_nothing_is_left_out_but_none() -> None:
    inner = tag("b", "a<b")
    assert tag("p", [inner, None, ["x", inner]]).html == "<p><b>a&lt;b</b>x<b>a&lt;b</b></p>"
    assert group("a", inner).html == "a<b>a&lt;b</b>"


def test_control_and_direction_characters_and_lone_surrogates_do_not_reach_the_page() -> None:
    made = tag("p", "a\x00b‮c\ud800", title="\x1b[31m")
    assert made.html == '<p title="[31m">abc�</p>'
    made.html.encode("utf-8")


def test_attributes_are_spelled_as_in_html() -> None:
    made = tag("line", class_="a", stroke_width=1.5, x=2.0, y=1 / 3, hidden=True, checked=False, title=None)
    assert made.html == '<line class="a" stroke-width="1.5" x="2" y="0.33" hidden></line>'
    assert tag("br").html == "<br>"


def test_a_name_that_is_no_name_is_refused() -> None:
    with pytest.raises(AssertionError):
        tag("p onload=x")
    with pytest.raises(AssertionError):
        tag("p", **{"a b": "c"})


def test_finished_markup_is_made_only_by_tag_and_from_files_of_the_package() -> None:
    from importlib.resources import files

    calls = {
        file.name: count
        for file in files("vigil.eval.report").iterdir()
        if file.name.endswith(".py") and (count := file.read_text(encoding="utf-8").count("Markup("))
    }
    assert calls == {"markup.py": 2, "document.py": 2}
    assert isinstance(tag("p"), Markup)
