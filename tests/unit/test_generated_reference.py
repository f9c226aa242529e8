from __future__ import annotations

import click
import yaml

from sidecar import generated_reference
from sidecar.cli import main as cli
from sidecar.config import loader


def test_secrets_are_masked_and_the_rest_is_shown() -> None:
    settings = loader.load(
        {
            "SIDECAR_RECEIVE__AUTH__TOKEN": "hunter2",
            "SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": "http://es:9200",
            "SIDECAR_DELIVER__ELASTICSEARCH__AUTH__USERNAME": "me",
            "SIDECAR_DELIVER__ELASTICSEARCH__AUTH__PASSWORD": "hunter3",
        }
    )
    text = generated_reference.as_yaml(settings)
    assert "hunter" not in text
    shown = yaml.safe_load(text)
    assert shown["deliver"]["elasticsearch"]["auth"]["username"] == "me"
    assert shown["deliver"]["elasticsearch"]["auth"]["password"] == "*" * len(shown["receive"]["auth"]["token"])


def test_what_is_shown_can_be_read_back_as_a_file() -> None:
    shown = yaml.safe_load(generated_reference.as_yaml(loader.load({})))
    assert loader.Settings.model_validate(shown) == loader.load({})


def test_the_schema_knows_every_setting() -> None:
    schema = generated_reference.schema()
    definitions = schema["$defs"]
    for field in loader.fields():
        here = schema
        for key in field.path:
            here = here["properties"][key]
            while "$ref" in here:
                here = definitions[here["$ref"].rsplit("/", 1)[1]]
        assert here["description"], field.path


def test_commands_are_listed_with_their_full_names() -> None:
    names = [name for name, _ in generated_reference.commands(cli.main, "sidecar")]
    assert "sidecar run" in names
    assert "sidecar journal dead-letters replay" in names
    assert "sidecar journal" not in names


def test_tables_survive_bars_and_indented_help() -> None:
    @click.command(name="one")
    def one() -> None:
        """First line.

        Second paragraph.
        """

    text = generated_reference.markdown(one)
    assert "First line.\n\nSecond paragraph.\n" in text
    rows = [line for line in text.splitlines() if line.startswith("| `SIDECAR_")]
    assert {len(line.replace("\\|", "").split("|")) for line in rows} == {6}


def test_further_sinks_are_one_row_and_their_schema_is_that_of_the_kinds() -> None:
    text = generated_reference.markdown(click.Command("none"))
    (row,) = [line for line in text.splitlines() if "DELIVER__ADDITIONAL" in line]
    assert row.startswith(
        "| `SIDECAR_DELIVER__ADDITIONAL__<NAME>__…` | `deliver.additional.<name>.…` |  | Additional sinks"
    )
    schema = generated_reference.schema()
    more = schema["$defs"]["DeliverOptions"]["properties"]["additional"]["additionalProperties"]
    kinds = more["discriminator"]["mapping"]
    assert {"elasticsearch", "otlp"} <= set(kinds)
    assert "store" not in kinds
    assert {r["$ref"] for r in more["oneOf"]} == set(kinds.values())


def test_further_sinks_can_be_shown_and_read_back_with_their_secrets_masked() -> None:
    more = "SIDECAR_DELIVER__ADDITIONAL__ONE__"
    settings = loader.load(
        {
            f"{more}KIND": "elasticsearch",
            f"{more}AUTH__API_KEY": "hunter2",
            "SIDECAR_DELIVER__REDACTION__HASH_KEY": "hunter3hunter3hunter3",
            "SIDECAR_DELIVER__REDACTION__KEYS": "password=hash",
        }
    )
    shown = yaml.safe_load(text := generated_reference.as_yaml(settings))
    assert "hunter" not in text
    assert shown["deliver"]["additional"]["one"]["kind"] == "elasticsearch"
    assert shown["deliver"]["redaction"]["keys"] == {"password": "hash"}
    assert loader.Settings.model_validate({"deliver": {"additional": shown["deliver"]["additional"]}})
