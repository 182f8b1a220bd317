import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.tasks.boxes import MAX_BOXES, parse_boxes, readable
from stream.tasks.geometry import Picture
from stream.tasks.spellings import in_own_form

REF, END_REF = "<|object_ref_start|>", "<|object_ref_end|>"
BOX, END_BOX = "<|box_start|>", "<|box_end|>"
DOG = ("dog", 0.1, 0.2, 0.3, 0.4)
CAT = ("cat", 0.5, 0.6, 0.7, 0.8)
dog = f"{REF}dog{END_REF}{BOX}(100,200),(300,400){END_BOX}"
cat = f"{REF}cat{END_REF}{BOX}(500,600),(700,800){END_BOX}"


def wide(text):
    """With the punctuation of Chinese text."""
    return text.translate(str.maketrans("(),:", "\uff08\uff09\uff0c\uff1a"))


json_dog = '{"bbox_2d": [100, 200, 300, 400], "label": "dog"}'
json_cat = '{"bbox_2d": [500, 600, 700, 800], "label": "cat"}'
QUAD, END_QUAD = "<|quad_start|>", "<|quad_end|>"
corners = "(100,210),(290,200),(300,400),(110,390)"

TABLE = [
    # as the model was taught
    (dog, "dog", [DOG], []),
    (dog + cat, "dog cat", [DOG, CAT], []),
    (f"{dog}, {cat}", "dog, cat", [DOG, CAT], []),
    (f"{dog}<|im_end|>", "dog", [DOG], []),
    (f"There is {dog} and {cat}.", "There is dog and cat.", [DOG, CAT], []),
    (f"{REF}the dog{END_REF}{BOX}(100,200),(300,400){END_BOX}", "the dog", [DOG], []),
    (f"{REF}狗{END_REF}{BOX}(100,200),(300,400){END_BOX}", "狗", [("狗", *DOG[1:])], []),
    # several boxes after one name
    (f"{dog}{BOX}(500,600),(700,800){END_BOX}", "dog", [DOG, ("dog", *CAT[1:])], []),
    (f"{dog},{BOX}(500,600),(700,800){END_BOX}", "dog", [DOG, ("dog", *CAT[1:])], []),
    (f"{dog} and {BOX}(500,600),(700,800){END_BOX}", "dog and", [DOG, ("dog", *CAT[1:])], []),
    (f"{dog[:-11]}(500,600),(700,800){END_BOX}", "dog", [DOG, ("dog", *CAT[1:])], []),
    (f"{dog[:-11]},(500,600),(700,800){END_BOX}", "dog", [DOG, ("dog", *CAT[1:])], []),
    # markers lost
    ("dog(100,200),(300,400)", "dog", [DOG], []),
    ("dog (100,200),(300,400)", "dog", [DOG], []),
    ("dog: (100, 200), (300, 400)", "dog:", [DOG], []),
    ("The dog(100,200),(300,400), a cat(500,600),(700,800).", "The dog, a cat.", [DOG, CAT], []),
    ("dog(100,200),(300,400)cat(500,600),(700,800)", "dog cat", [DOG, CAT], []),
    ("dog(100,200)(300,400)", "dog", [DOG], []),
    ("(100,200),(300,400)", "", [("thing", *DOG[1:])], []),
    (
        "In the picture I can see what seems to be a dog(100,200),(300,400)",
        "In the picture I can see what seems to be a dog",
        [("thing", *DOG[1:])],
        [],
    ),
    (f"{REF}dog{BOX}(100,200),(300,400){END_BOX}", "dog", [DOG], []),
    (f"dog{END_REF}(100,200),(300,400){END_BOX}", "dog", [DOG], []),
    ("<ref>dog</ref><box>(100,200),(300,400)</box>", "dog", [DOG], []),
    # the successors' forms
    ("[100,200,300,400]", "", [("thing", *DOG[1:])], []),
    ("dog [100, 200, 300, 400]", "dog", [DOG], []),
    ("bbox_2d: [100,200,300,400]", "", [("thing", *DOG[1:])], []),
    ('"bbox_2d": [100,200,300,400]', "", [("thing", *DOG[1:])], []),
    ("```json\n[100, 200, 300, 400]\n```", "", [("thing", *DOG[1:])], []),
    # JSON
    (json_dog, "dog", [DOG], []),
    (f"[{json_dog}, {json_cat}]", "dog, cat", [DOG, CAT], []),
    (f"```json\n[\n\t{json_dog},\n\t{json_cat}\n]\n```", "dog, cat", [DOG, CAT], []),
    (f"```json\n{json_dog}\n```", "dog", [DOG], []),
    (f"```\n[{json_dog}]", "dog", [DOG], []),
    (f"I see:\n```json\n[{json_dog}]\n```\nNo more.", "I see:\ndog\nNo more.", [DOG], []),
    (f"I see [{json_dog}] there.", "I see dog there.", [DOG], []),
    (json_dog.replace('"', "'"), "dog", [DOG], []),
    ('{"label": "dog", "bbox_2d": [100, 200, 300, 400]}', "dog", [DOG], []),
    ('{"label": "the dog\'s tail", "bbox": [100,200,300,400]}', "the dog's tail", [("dog's tail", *DOG[1:])], []),
    ('{"bbox_2d": [100,200,300,400], "label": "\\u72d7"}', "狗", [("狗", *DOG[1:])], []),
    ('{"bbox_2d": [100,200,300,400], "label": "a [1,2,3,4] dog"}', "a 1,2,3,4 dog", [("1,2,3,4 dog", *DOG[1:])], []),
    ('{"bbox_2d": [100,200,300,400], "label": "3 dogs"}', "3 dogs", [("3 dogs", *DOG[1:])], []),
    ('{"bbox_2d": [100,200,300,400]}', "thing", [("thing", *DOG[1:])], []),
    ('{"bbox_2d": [100,200,300,400], "label": ""}', "thing", [("thing", *DOG[1:])], []),
    (f"[{json_dog}, {{'bbox_2d': [500,600,700,800]}}]", "dog, thing", [DOG, ("thing", *CAT[1:])], []),
    ('{"dog": [100,200,300,400], "cat": [500,600,700,800]}', "dog, cat", [DOG, CAT], []),
    (f'{{"objects": [{json_dog}, {json_cat}]}}', "dog, cat", [DOG, CAT], []),
    (f"[{json_dog},]", "dog", [DOG], []),
    ('{"bbox_2d": [100,200,300,400], "label": "dog",}', "dog", [DOG], []),
    ('{"bbox_2d": [[100,200],[300,400]], "label": "dog"}', "dog", [DOG], []),
    ('{"bbox_2d": [[100,200,300,400],[500,600,700,800]], "label": "dog"}', "dog", [DOG, ("dog", *CAT[1:])], []),
    ('{"quad_2d": [100,210,290,200,300,400,110,390], "label": "dog"}', "dog", [DOG], []),
    ('{"bbox_2d": "100, 200, 300, 400", "label": "dog"}', "dog", [DOG], []),
    ('{"bbox_2d": ["100", "200", "300", "400"], "label": "dog"}', "dog", [DOG], []),
    ('{"bbox_2d": [300,400,100,200], "label": "dog"}', "dog", [DOG], []),
    (f"[{json_dog}, {json_dog}]", "dog, dog", [DOG], ["duplicates"]),
    ('{"bbox_2d": [100,200,300], "label": "dog"}', "dog", [], ["degenerate"]),
    ('{"point_2d": [100,200], "label": "dog"}', "dog", [], ["degenerate"]),
    ('{"bbox_2d": [1e2,2e2,3e2,4e2], "label": "dog"}', "dog", [], ["degenerate"]),
    ('{"bbox_2d": [], "label": "dog"}', "dog", [], []),
    # JSON cut off
    (f"[{json_dog}, {{'bbox_2d': [500, 6", "dog", [DOG], ["truncated"]),
    (f"[{json_dog}, {{'bbox_2d': [500, 600, 700, 800", "dog", [DOG], ["truncated"]),
    (f"[{json_dog}, {json_cat[:-14]}", "dog, thing", [DOG, ("thing", *CAT[1:])], ["truncated"]),
    (f"[{json_dog}, {json_cat[:-3]}", "dog, thing", [DOG, ("thing", *CAT[1:])], ["truncated"]),  # "ca is no name
    (f"[{json_dog}, {json_cat[:-1]}", "dog, cat", [DOG, CAT], ["truncated"]),
    (f'[{json_dog}, {{"bb', "dog", [DOG], ["truncated"]),
    (f"[{json_dog}, {{", "dog", [DOG], ["truncated"]),
    (f"[{json_dog},", "dog", [DOG], ["truncated"]),
    (f"[{json_dog}", "dog", [DOG], ["truncated"]),
    (f"```json\n[{json_dog},\n{{'bbox_2d': [5", "dog", [DOG], ["truncated"]),
    # JSON without boxes stays as it is
    ('{"answer": "yes", "n": [3]}', '{"answer": "yes", "n": [3]}', [], []),
    ("```python\nprint(1)\n```", "```python\nprint(1)\n```", [], []),
    # quadrangles
    (f"{REF}dog{END_REF}{QUAD}{corners}{END_QUAD}", "dog", [DOG], []),
    (f"{QUAD}{corners}{END_QUAD}", "", [("thing", *DOG[1:])], []),
    (f"<ref>dog</ref><quad>{corners}</quad>", "dog", [DOG], []),
    (f"{REF}dog{END_REF}{QUAD}(100,210),(290,200),(30", "dog", [], ["truncated"]),
    (f"{REF}dog{END_REF}{QUAD}(100,210),(290,200),(300,400){END_QUAD}", "dog", [], ["degenerate"]),
    # full-width punctuation
    (wide("狗(100,200),(300,400)"), "狗", [("狗", *DOG[1:])], []),
    (
        wide("狗:(100,200),(300,400),猫(500,600),(700,800)。"),
        wide("狗:,猫。"),
        [("狗", *DOG[1:]), ("猫", *CAT[1:])],
        [],
    ),
    (f"{REF}狗{END_REF}{BOX}{wide('(100,200),(300,400)')}{END_BOX}", "狗", [("狗", *DOG[1:])], []),
    (wide('{"bbox_2d":[100,200,300,400],"label":"狗"}'), "狗", [("狗", *DOG[1:])], []),
    (wide("狗(100,200),(300,4"), "狗", [], ["truncated"]),
    (wide("这里有(2,3)只狗。"), wide("这里有(2,3)只狗。"), [], []),
    # fractions
    ("dog(0.1,0.2),(0.3,0.4)", "dog", [DOG], []),
    ('{"bbox_2d": [0.1, 0.2, 0.3, 0.4], "label": "dog"}', "dog", [DOG], []),
    ("dog(0,0),(1,1)", "dog", [("dog", 0.0, 0.0, 1.0, 1.0)], []),
    ("dog(0.1,0.2),(1.02,0.4)", "dog", [("dog", 0.1, 0.2, 1.0, 0.4)], ["clamped"]),
    ("dog(0.1,0.2),(0.1,0.4)", "dog", [], ["degenerate"]),
    # pixels, and no picture
    ('[{"bbox_2d": [100,200,1300,400], "label": "dog"}]', "dog", [], ["pixels"]),
    ("dog [100,200,1300,400], cat [500,600,700,800]", "dog, cat", [], ["pixels"]),
    # corners turned round
    ("dog(300,400),(100,200)", "dog", [DOG], []),
    ("dog(300,200),(100,400)", "dog", [DOG], []),
    # outside
    ("dog(-50,200),(300,1200)", "dog", [("dog", 0.0, 0.2, 0.3, 1.0)], ["clamped"]),
    ("dog(1100,200),(1300,400)", "dog", [], ["clamped", "degenerate"]),
    ("dog(0,0),(1000,1000)", "dog", [("dog", 0.0, 0.0, 1.0, 1.0)], []),
    ("dog(100,200),(999999,400)", "dog", [("dog", 0.1, 0.2, 1.0, 0.4)], ["clamped"]),
    # no area
    ("dog(100,200),(100,400)", "dog", [], ["degenerate"]),
    ("dog(100,200),(300,200)", "dog", [], ["degenerate"]),
    ("dog(0,0),(0,0)", "dog", [], ["degenerate"]),
    ("dog(100,200),(101,400)", "dog", [], ["degenerate"]),
    # cut off
    (f"{dog}{REF}cat{END_REF}{BOX}(500,600),(70", "dog cat", [DOG], ["truncated"]),
    (f"{dog}{REF}cat{END_REF}{BOX}(500,", "dog cat", [DOG], ["truncated"]),
    (f"{dog}{REF}cat{END_REF}{BOX}", "dog cat", [DOG], ["truncated"]),
    (f"{dog}{REF}cat{END_REF}<|box_st", "dog cat", [DOG], ["truncated"]),
    (f"{dog}{REF}ca", "dog ca", [DOG], []),
    ("dog(100,200),(300,400),(500,600),(70", "dog", [DOG], ["truncated"]),
    ("dog(100,200),(300,400),(5", "dog", [DOG], ["truncated"]),
    ("[100,200,300,400],[500,600,7", "", [("thing", *DOG[1:])], ["truncated"]),
    # not a box
    ("", "", [], []),
    ("No dog here.", "No dog here.", [], []),
    (f"{REF}dog{END_REF}{BOX}none{END_BOX}", "dog", [], []),
    (f"{REF}dog{END_REF}{BOX}(nan,200),(300,400){END_BOX}", "dog", [], []),
    (f"{REF}dog{END_REF}{BOX}(inf,200),(300,400){END_BOX}", "dog", [], []),
    (f"{REF}dog{END_REF}{BOX}(100,200){END_BOX}", "dog", [], []),
    (f"{REF}dog{END_REF}{BOX}(1,2,3),(4,5){END_BOX}", "dog", [], []),
    ("dog(100;200),(300;400)", "dog(100;200),(300;400)", [], []),
    ("Two dogs (2, 3) run.", "Two dogs (2, 3) run.", [], []),
    ("dog(99999999999,2),(3,4)", "dog(99999999999,2),(3,4)", [], []),
    # said twice
    (dog + dog, "dog dog", [DOG], ["duplicates"]),
    (dog * 5, "dog dog dog dog dog", [DOG], ["duplicates"]),  # a loop on the spot is no row of inventions
    (f"{dog}{REF}dog{END_REF}{BOX}(101,200),(300,401){END_BOX}", "dog dog", [DOG], ["duplicates"]),
    ("dog(100,200),(300,400)cat(100,200),(300,400)", "dog cat", [DOG, ("cat", *DOG[1:])], []),
    # invented
    ("[323,118,444,825],[444,118,565,825],[565,118,686,825],[686,118,807,825]", "", [], ["tiled"]),
    ("a(0,0),(99,99)(0,100),(99,199)(0,200),(99,299)(0,300),(99,399)", "a", [], ["tiled"]),  # a column
    ("a(0,0),(99,99)(50,50),(149,149)(100,100),(199,199)(150,150),(249,249)", "a", [], ["tiled"]),
    ("a(0,0),(99,99)(100,0),(199,99)(0,100),(99,199)(100,100),(199,199)", "a", [], ["tiled"]),  # a grid
    (
        "[0,0,100,100],[300,0,400,100],[600,0,700,100],[0,500,100,600],[300,500,400,600]",  # its last row cut
        "",
        [],
        ["tiled"],
    ),
    (
        dog + "".join(f"{BOX}({x},500),({x + 99},700){END_BOX}" for x in range(0, 900, 100)),
        "dog",
        [DOG],
        ["tiled"],
    ),
]


@pytest.mark.parametrize(("text", "words", "boxes", "flags"), TABLE)
def test_a_broken_answer_gives_what_can_be_trusted_in_it(text, words, boxes, flags):
    parsed = parse_boxes(text, "thing")

    assert [(box.label, box.x1, box.y1, box.x2, box.y2) for box in parsed.boxes] == boxes
    assert parsed.text == words
    assert list(parsed.flags) == flags


def test_pixels_are_understood_where_the_picture_is_known():
    text = '[{"bbox_2d": [140, 80, 1120, 400], "label": "dog"}, {"bbox_2d": [0, 0, 140, 80], "label": "cat"}]'
    parsed = parse_boxes(text, picture=Picture(height=800, width=1400))

    assert [(box.label, box.x1, box.y1, box.x2, box.y2) for box in parsed.boxes] == [
        ("dog", 0.1, 0.1, 0.8, 0.5),
        ("cat", 0.0, 0.0, 0.1, 0.1),
    ]
    assert parsed.flags == ()


def test_small_numbers_are_pixels_only_where_that_is_said():
    for picture, right in [(None, 0.3), (Picture(600, 600), 0.3), (Picture(600, 600, in_pixels=True), 0.5)]:
        (box,) = parse_boxes(json_dog, picture=picture).boxes
        assert box.x2 == right


def test_the_models_own_form_is_never_taken_for_pixels_unasked():
    parsed = parse_boxes("dog(100,200),(1200,400)", picture=Picture(800, 1400))

    assert (parsed.boxes[0].x2, parsed.flags) == (1.0, ("clamped",))


@pytest.mark.parametrize("text", [text for text, *_ in TABLE])
def test_no_label_is_made_of_a_key_and_no_box_is_a_sliver(text):
    for box in parse_boxes(text).boxes:
        assert not re.search(r"bbox|box_2d|label|json|\W$", box.label)
        assert min(box.x2 - box.x1, box.y2 - box.y1) > 0.0015


@pytest.mark.parametrize("text", [text for text, *_ in TABLE])
def test_rewriting_twice_is_rewriting_once_and_words_are_the_same_without_boxes(text):
    once = in_own_form(text, "thing")

    assert in_own_form(once, "thing") == once
    assert readable(once) == parse_boxes(text, "thing").text


def test_three_equal_boxes_in_a_row_may_be_real():
    row = "dog" + "".join(f"({x},100),({x + 80},200)" for x in (0, 100, 200))

    assert len(parse_boxes(row).boxes) == 3


def test_four_equal_boxes_out_of_step_may_be_real():
    text = "dog" + "".join(f"({x},{y}),({x + 80},{y + 90})" for x, y in ((0, 3), (105, 60), (190, 7), (350, 44)))

    assert len(parse_boxes(text).boxes) == 4


def test_the_number_of_boxes_is_capped():
    text = "".join(f"({n},{n * n % 700}),({n + 37 + n % 11},{n * n % 700 + 60 + n % 7})" for n in range(300))
    parsed = parse_boxes(text, "thing")

    assert len(parsed.boxes) == MAX_BOXES
    assert "capped" in parsed.flags
    assert len(parse_boxes(text, "thing", max_boxes=3).boxes) == 3


def test_lines_of_prose_stay_lines():
    assert parse_boxes("One.\n\n- two\n- three").text == "One.\n- two\n- three"


FRAGMENTS = [
    *(REF, END_REF, BOX, END_BOX, "<|im_end|>", "<ref>", "</ref>", "<box>", "</box>", "<|", "|>", "<", "_"),
    *("(", ")", "[", "]", ",", " ", "\n", ".", "-", "nan", "inf", "1e9", "0", "7", "100", "999", "1000"),
    *("{", "}", ":", '"', "'", '"bbox_2d": ', '"label": ', json_dog, "```json\n", "```", QUAD, END_QUAD),
    *wide("(,)"),
    *("0.5", '{"bbox_2d": [', '"point_2d": [1, 2]', "\\u00", "\\"),
    *("(100,200)", "(100,200),(300,400)", "[1,2,3,4]", "dog", "the", "é", "\x1b[31m", "\x00", "\ud800", "٣"),
]


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join) | st.text(max_size=200))
def test_no_text_makes_it_raise_or_leave_the_picture(text):
    parsed = parse_boxes(text, "thing")

    assert len(parsed.boxes) <= MAX_BOXES
    for box in parsed.boxes:
        assert 0 <= box.x1 < box.x2 <= 1
        assert 0 <= box.y1 < box.y2 <= 1
        assert box.label
    assert not re.search(r"<\|\w+\|>|[\x00-\x08\x1b]", parsed.text)
    assert parsed.text == parsed.text.strip()


@pytest.mark.parametrize(
    "fragment",
    [
        *(
            "(",
            "[",
            "(1,",
            "1",
            " ",
            ",",
            " ,",
            "(1,1),",
            "[1,1,",
            "<|",
            "<|box_start|>",
            "<|object_ref_start|>a",
        ),
        *(dog, "(1,2),(3,4)", "word ", "<", "\n", "-", "<ref>", "(1 ,1 ) , ", "<|box_start|>(1,1)"),
        *(
            '{"a": [',
            "{",
            "[{",
            json_dog,
            '{"bbox": "1,',
            "```json\n[",
            wide("(1,"),
            '"bbox": ',
            f"{QUAD}(1,",
            "{'a': '\\",
        ),
    ],
)
def test_a_megabyte_of_nonsense_takes_time_in_proportion(fragment):
    text = fragment * (1_000_000 // len(fragment))
    began = time.process_time()
    parse_boxes(text)

    assert time.process_time() - began < 5  # a pattern that backtracks would take hours
