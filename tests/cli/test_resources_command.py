import json

from sgm_core.cli import main


def test_add_and_list(tmp_path, capsys):
    file = tmp_path / "mine.gmt"
    file.write_text("one\t\tSPI1\tMYC\n")
    assert main(["resources", "add", "genesets", str(file), "--json"]) == 0
    added = json.loads(capsys.readouterr().out)
    assert (added["name"], added["n_entries"], added["built_in"]) == ("mine", 1, False)
    assert main(["resources", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["go-demo-subset", "mine"]
    assert main(["resources", "list", "aliases"]) == 0
    assert "sgm resources add aliases FILE" in capsys.readouterr().out


def test_bad_input_is_one_line(tmp_path, capsys):
    file = tmp_path / "mine.gmt"
    file.write_text("SPI1\n")
    for arguments in (["add", "genesets", str(file)], ["add", "stuff", str(file)], ["list", "stuff"]):
        assert main(["resources", *arguments]) == 2
        output = capsys.readouterr()
        assert output.out == "" and output.err.count("\n") == 1
