"""A bad sheet is refused by line and column before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from imagegen.arguments import Model
from imagegen.items import Sheet, explained, sheet_of
from imagegen.outcomes import Refused, WrongCall
from imagegen.sheets import read_rows
from tests.support.cases import case
from tests.unit.test_imagegen_arguments import PNG, model


def made(path: Path, *, output: str = "{jobId}-{index}", default_model: str | None = None, find: Callable[[str], Model] = model) -> Sheet:
    return sheet_of(read_rows(path), folder=path.parent, output=output, default_model=default_model, find_model=find)


def sheet(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "prompts.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "line 1: column 'prompt' is missing"),
        ("model,promt\nflux-pro,x\n", "line 1: column 'prompt' is missing; columns found: model, promt"),
        ("model;prompt\nflux-pro;x\n", "columns found: model;prompt; separate cells by commas"),
        ("prompt\n", "line 2: there is no row"),
        ("prompt,prompt\na,b\n", "line 1: column 'prompt' is there twice"),
        ("prompt,\na,b\n", "line 1: column 2 has no name"),
        ("prompt,model\na,flux-pro\n\nb,flux-pro\n", "line 3: the row is empty"),
        ("prompt,model\na,flux-pro\n,\nb,flux-pro\n", "line 3: the row is empty"),
        ("prompt,model\n,flux-pro\n", "line 2: column 'prompt' is empty"),
        ("prompt,model\na dog, sitting,flux-pro\n", "line 2: 3 cells, but 2 columns"),
        ('prompt,model\n"a\nb",flux-pro\n,flux-pro\n', "line 4: column 'prompt' is empty"),
        ('prompt\n"a\n', "line 2"),
        (b"prompt\n\xff\xfe\n", "is not UTF-8"),
        ("prompt\n" + "a\n" * 501, "line 502: 501 rows; a batch takes 500"),
    ],
)
def test_a_bad_sheet_is_refused_by_line_and_column(tmp_path: Path, text: str | bytes, complaint: str) -> None:
    with pytest.raises(WrongCall) as refused:
        read_rows(sheet(tmp_path, text))

    assert complaint in refused.value.message


def test_five_hundred_rows_and_empty_lines_at_the_end_are_fine(tmp_path: Path) -> None:
    rows = read_rows(sheet(tmp_path, "prompt\n" + "a\n" * 500 + "\n\n"))

    assert len(rows) == 500


def test_rows_become_items_by_their_models(tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(PNG)
    text = "\ufeffprompt,model,num_images,seed,image\n42,flux-pro,2,,\nedit,flux-dev-image-to-image,,7,in.png\n"
    path = sheet(tmp_path, text)

    items = made(path).items

    assert items[0] == {"model": "flux-pro", "inputs": {"prompt": "42"}, "options": {"num_images": 2}}
    assert items[1]["inputs"]["seed"] == 7
    assert items[1]["inputs"]["image_url"].startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("prompt,promt\na,b\n", "line 2: column 'promt': flux-pro has no 'promt'"),
        ("prompt,image\na,nowhere.png\n", "line 2: column 'image': "),
    ],
)
def test_a_bad_cell_is_named_by_line_and_column(tmp_path: Path, text: str, complaint: str) -> None:
    path = sheet(tmp_path, text)

    with pytest.raises(WrongCall) as refused:
        made(path, default_model="flux-pro")

    assert complaint in refused.value.message


def test_a_row_without_a_model_needs_a_default(tmp_path: Path) -> None:
    path = sheet(tmp_path, "prompt,model\na,flux-pro\nb,\n")

    def find(name: str) -> Model:
        return model(name)

    with pytest.raises(WrongCall, match="line 3: column 'model' is missing or empty"):
        made(path, find=find)


def test_a_spreadsheets_words_for_values_are_taken() -> None:
    flux = model("flux-dev")

    assert flux.value("enable_safety_checker", "TRUE") is True
    assert flux.value("enable_safety_checker", "False") is False
    assert flux.value("num_images", "01") == 1
    assert flux.value("guidance_scale", "03.5") == 3.5
    assert flux.value("prompt", "TRUE") == "TRUE"
    assert flux.value("prompt", "007") == "007"


def test_the_sheet_of_a_spreadsheet_becomes_an_item(tmp_path: Path) -> None:
    path = sheet(tmp_path, case("csv/bool.csv"))

    items = made(path).items

    assert items[0]["options"] == {"enable_safety_checker": True}


@pytest.mark.parametrize(
    ("pointer", "complaint"),
    [
        ("/items/0/options/num_images", "line 2: column 'num_images': too many"),
        ("/items/1/inputs/image_url", "line 3: column 'image': too many"),
        ("/items/1/model", "line 3: column 'model': too many"),
        ("/items/0", "line 2: too many"),
    ],
)
def test_a_refusal_of_the_server_names_line_and_column(tmp_path: Path, pointer: str, complaint: str) -> None:
    path = sheet(tmp_path, "prompt,model,num_images,image\na,flux-dev,5,\nb,flux-dev-image-to-image,,in.png\n")
    refused = Refused("items/0/...", status=400, errors=[(pointer, "too many"), ("/userId", "missing")])

    assert explained(read_rows(path), refused) == f"{path} {complaint}\nuserId: missing"


def test_a_refusal_that_names_no_row_stays_as_it_is(tmp_path: Path) -> None:
    path = sheet(tmp_path, "prompt\na\n")

    assert explained(read_rows(path), Refused("no budget", status=402)) == "no budget"


def test_an_unknown_model_is_told_with_its_line(tmp_path: Path) -> None:
    path = sheet(tmp_path, "prompt,model\na,flux-dev\nb,flux-por\n")

    def find(name: str) -> Model:
        if name == "flux-por":
            raise Refused("No such model", status=404)
        return model(name)

    with pytest.raises(Refused) as refused:
        made(path, find=find)

    assert refused.value.message.endswith("line 3: column 'model': No such model")


def test_lines_of_json_are_rows_with_values_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text(
        '{"prompt": "42", "model": "flux-pro", "num_images": 2}\n\n{"model": "flux-dev", "inputs": {"prompt": "b"}, "options": {"seed": 7}}\n'
    )

    items = made(path, output="{row}-{index}").items

    assert items[0] == {"model": "flux-pro", "inputs": {"prompt": "42"}, "options": {"num_images": 2}}
    assert (items[1]["inputs"]["prompt"], {**items[1]["inputs"], **items[1]["options"]}["seed"]) == ("b", 7)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "line 1: there is no row"),
        ('{"prompt": "a"}\n["a"]\n', "line 2: this is no JSON object"),
        ('{"prompt": "a"}\n\n{"prompt": \n', "line 3: this is no JSON"),
        ('{"prompt": "a", "seed": NaN}\n', "line 1: this is no JSON"),
        ('{"prompt": "a"}\n' * 501, "line 501: 501 rows; a batch takes 500"),
        ("[" * 100_000, "line 1: this is no JSON"),
    ],
)
def test_a_bad_line_of_json_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text(text)

    with pytest.raises(WrongCall) as refused:
        read_rows(path)

    assert complaint in refused.value.message


def test_a_column_that_the_file_name_uses_need_not_be_the_models(tmp_path: Path) -> None:
    path = sheet(tmp_path, "prompt,name\na,dusk\nb,dawn\n")

    sheet_made = made(path, output="{name}-{prompt}", default_model="flux-pro")

    assert sheet_made.names == [{"name": "dusk", "prompt": "a"}, {"name": "dawn", "prompt": "b"}]
    assert [item["inputs"] for item in sheet_made.items] == [{"prompt": "a"}, {"prompt": "b"}]


@pytest.mark.parametrize(
    ("cells", "complaint"),
    [
        ("a,dusk\nb,dusk\n", "line 3: dusk is the name of the pictures of"),
        ("a,dusk\nb,\n", "line 3: column 'name' is empty, but files are named after it"),
    ],
)
def test_two_rows_never_share_a_file_name(tmp_path: Path, cells: str, complaint: str) -> None:
    path = sheet(tmp_path, f"prompt,name\n{cells}")

    with pytest.raises(WrongCall) as refused:
        made(path, output="{name}", default_model="flux-pro")

    assert complaint in refused.value.message


def test_a_name_that_no_file_system_takes_is_refused_before_the_order(tmp_path: Path) -> None:
    path = sheet(tmp_path, f"prompt,name\n{'雪' * 48},{'雪' * 48}\n")

    with pytest.raises(WrongCall, match="line 2: the file's name is too long"):
        made(path, output="{name}-{prompt}", default_model="flux-pro")
