"""The digest of the code that makes tables."""

from pathlib import Path

from featurediff.runtime.code_digest import code_digest


def test_the_codes_digest_follows_its_content_alone(tmp_path: Path) -> None:
    for name in ("feature_vis/a.py", "featurediff/report/page/b.js", "featurediff/cli/main.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("one")
    before = code_digest(tmp_path)
    (tmp_path / "featurediff" / "__pycache__").mkdir()
    (tmp_path / "featurediff" / "__pycache__" / "a.pyc").write_text("compiled")
    (tmp_path / "feature_vis" / "a.py").touch()
    for name in ("cli/other.py", "workflow/Snakefile"):  # no table is made by them
        (tmp_path / "featurediff" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "featurediff" / name).write_text("new")
    assert code_digest(tmp_path) == before
    (tmp_path / "featurediff" / "report" / "page" / "b.js").write_text("two")
    assert code_digest(tmp_path) != before
