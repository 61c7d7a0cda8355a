"""The sentence model, its vocabulary and its kept vectors."""

import os

import pytest

from mcpgateway.system import package_data
from mcpgateway.system.semantic.launch import launch_of, model_path
from mcpgateway.system.semantic.wordpieces import WordPieces

PIECES = WordPieces.read(package_data.wordpieces())


class WordPieceTests:
    """The pieces of a text, as those of the original program."""

    @pytest.mark.parametrize(
        ("text", "numbers"),
        [
            ("", [101, 102]),
            ("read_file", [101, 3191, 1035, 5371, 102]),
            ("Embeddings", [101, 7861, 8270, 4667, 2015, 102]),
            ("café!", [101, 7668, 999, 102]),
            ("x" * 101, [101, 100, 102]),
        ],
    )
    def test_numbers(self, text, numbers):
        """Words are split into the longest known pieces; accents and capitals do not count."""
        assert PIECES.numbers(text, 64) == numbers

    def test_a_long_text_is_cut(self):
        """The marks of the beginning and the end are kept."""
        assert PIECES.numbers("one two three four", 4) == [101, 2028, 2048, 102]


def test_nothing_is_launched_without_the_package(tmp_path, monkeypatch):
    """Without the extra there is no launch."""
    monkeypatch.setattr("mcpgateway.system.semantic.launch.MODEL_PACKAGE", "no_such_package")
    assert launch_of(str(tmp_path), os.environ) is None


@pytest.mark.skipif(not model_path(), reason="mcpgateway[semantic] is not installed")
class ModelTests:
    """The model with its real weights."""

    def test_sentences_of_one_meaning_are_near(self):
        """A paraphrase is nearer than another sentence, and close to what the original computes."""
        from mcpgateway.system.semantic.model import SentenceModel

        model = SentenceModel(model_path())
        one, same, other = (
            model.vector(PIECES.numbers(text, 64))
            for text in ("put on a film", "start a movie", "issue an invoice to a customer")
        )
        assert one @ one == pytest.approx(1, abs=1e-5)
        assert one @ same > 0.5 > one @ other

    def test_another_file_is_refused(self, tmp_path):
        """Weights of an unknown digest are not computed with."""
        from mcpgateway.system.semantic.model import SentenceModel, WrongModel

        (tmp_path / "model.onnx").write_bytes(b"x")
        with pytest.raises(WrongModel, match="SHA-256"):
            SentenceModel(str(tmp_path / "model.onnx"))

    def test_vectors_are_kept(self, tmp_path, monkeypatch):
        """A vector is found again in another process's file, those used last survive, and damage is no error."""
        import numpy as np

        from mcpgateway.system.semantic import vectors

        tmp_path.chmod(0o700)
        path = str(tmp_path / "vectors")
        monkeypatch.setattr(vectors, "MOST", 2)
        file = vectors.VectorFile(path)
        made = {name: np.random.default_rng(ord(name)).normal(size=384).astype("f4") for name in "abc"}
        for name, vector in made.items():
            file.add(name, vector)
        file.find("a")
        file.save()
        again = vectors.VectorFile(path)
        assert again.find("b") is None
        assert again.find("a") @ made["a"] / np.linalg.norm(made["a"]) > 0.999
        (tmp_path / "vectors").write_bytes(b"x" * 401)
        assert vectors.VectorFile(path).find("a") is None
